// The data, and the columns of the timeline out of their variable-length bytes.
const P = JSON.parse($('data').textContent);
function varints(text, count, signed) {
  const bytes = atob(text), values = new Float64Array(count);
  for (let i = 0, at = 0; i < count; i++) {
    let value = 0, scale = 1, byte;
    do { byte = bytes.charCodeAt(at++); value += (byte & 127) * scale; scale *= 128; } while (byte > 127);
    values[i] = signed ? (value % 2 ? -(value + 1) / 2 : value / 2) : value;
  }
  return values;
}
function unpackTimeline(T) {
  const n = T.count, start = varints(T.delta, n), end = varints(T.duration, n), id = Uint32Array.from(varints(T.id, n));
  const rows = [];
  let at = 0;
  for (const [label, device, count] of T.rows) {
    let now = 0;
    for (let i = at; i < at + count; i++) { now += start[i]; start[i] = now; end[i] += now; }
    if (count) rows.push({label, device, from: at, to: at + count});
    at += count;
  }
  const launch = new Int32Array(n).fill(-1);
  if (T.linked) {
    let many = 0;
    for (let i = 0, b = atob(T.linked); i < b.length; i++) if (b.charCodeAt(i) < 128) many++;
    const events = varints(T.linked, many), launches = varints(T.launch, many, true);
    for (let i = 0, event = 0, from = 0; i < many; i++) launch[event += events[i]] = from += launches[i];
  }
  return {n, start, end, id, launch, rows};
}
