// Events in lanes: what overlaps in a row goes one lane down, which for calls within operators is their depth.
// Then events are stored lane after lane, so that a lane is searched by bisection in its part of the columns.
const MOST_LANES = 256;
function layLanes(T) {
  const lane = new Uint8Array(T.n), order = new Int32Array(T.n), place = new Int32Array(T.n), lanes = [];
  const ends = new Float64Array(MOST_LANES), counts = new Int32Array(MOST_LANES);
  let at = 0;
  for (const row of T.rows) {
    let deep = 0;
    counts.fill(0);
    for (let i = row.from; i < row.to; i++) {
      const start = T.start[i];
      let depth = 0;
      while (depth < deep && ends[depth] > start && depth < MOST_LANES - 1) depth++;
      if (depth === deep) deep++;
      ends[depth] = T.end[i];
      counts[depth]++;
      lane[i] = depth;
    }
    row.lanes = Array.from(counts.subarray(0, deep), (count, depth) => { const l = {row, depth, from: at, to: at}; at += count; lanes.push(l); return l; });
    for (let i = row.from; i < row.to; i++) { const l = row.lanes[lane[i]]; place[i] = l.to; order[l.to++] = i; }
  }
  const S = new Float64Array(T.n), E = new Float64Array(T.n), ID = new Uint32Array(T.n), LAUNCH = new Int32Array(T.n), BUSY = new Float64Array(T.n + 1);
  for (let k = 0; k < T.n; k++) {
    const i = order[k];
    S[k] = T.start[i]; E[k] = T.end[i]; ID[k] = T.id[i];
    LAUNCH[k] = T.launch[i] < 0 ? -1 : place[T.launch[i]];
    BUSY[k + 1] = BUSY[k] + E[k] - S[k];
  }
  return {S, E, ID, LAUNCH, BUSY, lanes, rows: T.rows};
}
// The first event of a part of a column that is above a time; a column of a lane never falls.
function firstAbove(column, time, from, to) {
  while (from < to) { const middle = (from + to) >> 1; if (column[middle] > time) to = middle; else from = middle + 1; }
  return from;
}
function firstFrom(column, time, from, to) {
  let step = 1;
  while (from + step < to && column[from + step] < time) step *= 2;
  to = Math.min(to, from + step);
  while (from < to) { const middle = (from + to) >> 1; if (column[middle] >= time) to = middle; else from = middle + 1; }
  return from;
}
function laneOf(event) {
  let a = 0, b = D.lanes.length - 1;
  while (a < b) { const middle = (a + b + 1) >> 1; if (D.lanes[middle].from <= event) a = middle; else b = middle - 1; }
  return D.lanes[a];
}
