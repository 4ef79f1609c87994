// The data, and the columns of the timeline out of their variable-length bytes.
const P = JSON.parse($('data').textContent);
function varints(text, count, signed) {
  const bytes = atob(text), values = new Float64Array(count);
  for (let i = 0, at = 0; i < count; i++) {
    let byte = bytes.charCodeAt(at++), value = byte & 127;
    for (let scale = 128; byte > 127; scale *= 128) { byte = bytes.charCodeAt(at++); value += (byte & 127) * scale; }
    values[i] = signed ? (value % 2 ? -(value + 1) / 2 : value / 2) : value;
  }
  return values;
}
const NAMELESS = '(no name)';
// A name cut to what tells it apart at a glance; the whole is in the tip and the tables.
function brief(name) {
  const plain = name.replace(/^void /, '').replace(/\(anonymous namespace\)::/g, ''), end = plain.search(/[<(]/), base = end > 3 ? plain.slice(0, end) : plain;
  return base.split('::').pop() || plain || NAMELESS;
}
function unpackTimeline(T) {
  const n = T.count, start = varints(T.delta, n), end = varints(T.duration, n), id = new Uint32Array(varints(T.id, n));
  const rows = [];
  let at = 0;
  for (const [label, device, count] of T.rows) {
    let now = 0;
    for (let i = at; i < at + count; i++) { now += start[i]; start[i] = now; end[i] += now; }
    if (count) rows.push({label, device, from: at, to: at + count});
    at += count;
  }
  const launch = new Int32Array(n).fill(-1);
  const events = varints(T.linked, T.links), launches = varints(T.launch, T.links, true);
  for (let i = 0, event = 0, from = 0; i < T.links; i++) launch[event += events[i]] = from += launches[i];
  return {n, start, end, id, launch, rows};
}
