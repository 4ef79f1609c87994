// The data as columns, and what is derived from it: a row is an index, front rows come first.
const P = JSON.parse(document.getElementById('data').textContent);
const ALPHABET = Array.from({length: 92}, (_, i) => String.fromCharCode(35 + i)).filter(c => !'\\<&'.includes(c));
const CODE = new Map(ALPHABET.map((c, i) => [c, i]));
function unpack(column) {
  if (column.c !== undefined) return Array.from(column.c, c => column.l[CODE.get(c)]);
  if (column.i !== undefined) return column.i.map(i => column.l[i]);
  return column.e ? column.v.map(v => v === null ? v : v * Math.pow(10, column.e)) : column.v;
}
const N = P.rows, F = P.front;
const fields = P.columns.map(c => ({name: c.name, role: c.role, unit: c.unit, per: c.per, better: c.better, values: unpack(c)}));
const byName = new Map(fields.map(f => [f.name, f]));
const id = unpack(P.id), status = unpack(P.status), reason = unpack(P.reason), run = unpack(P.run), ideal = unpack(P.ideal);
const unknown = new Set(P.unknown), championOf = new Map();
for (const [name, row] of Object.entries(P.champions)) championOf.set(row, (championOf.get(row) || []).concat(name));
const low = {}, high = {}, source = {};
for (const name of Object.keys(P.intervals)) {
  [low[name], high[name]] = P.intervals[name].map(unpack);
  source[name] = unpack(P.source[name]);
}
const objectives = fields.filter(f => f.role === 'objective'), parameters = fields.filter(f => f.role === 'parameter');
const metrics = fields.filter(f => f.role === 'metric');
const numeric = f => f.numeric ?? (f.numeric = f.values.some(v => typeof v === 'number') && f.values.every(v => v === null || typeof v === 'number'));
const frontRows = Array.from({length: F}, (_, i) => i);
const varies = f => new Set(f.values).size > 1;
const variesOnFront = f => new Set(f.values.slice(0, F)).size > 1;
const label = row => (P.runs.length > 1 ? 'run ' + (run[row] + 1) : '') + '#' + id[row];
const reference = row => P.runs[run[row]] + '#' + id[row];
function delta(f, row) {
  if (P.baseline === null || row === P.baseline) return null;
  const a = f.values[row], b = f.values[P.baseline];
  return typeof a === 'number' && typeof b === 'number' && b !== 0 ? (a / b - 1) * 100 : null;
}
function marks(row) {
  const found = [];
  if (row === P.knee) found.push(['knee', 'k']);
  if (row === P.baseline) found.push(['baseline', 'b']);
  for (const name of championOf.get(row) || []) found.push(['best ' + name, '']);
  if (unknown.has(row)) found.push(['quality unknown', 'u']);
  if (status[row] !== 'ok') found.push([status[row], 'u']);
  return found;
}
// Details come with their texts in one table: labels and notes repeat from point to point.
const word = i => P.words[i];
const unpackTimeline = t => ({
  title: word(t.title), unit: word(t.unit), step: word(t.step), start: word(t.start), limit: t.limit, curveUnit: word(t.curve_unit),
  curve: {label: word(t.curve[0]), values: JSON.parse(word(t.curve[1]))},
  areas: t.areas.map(([label, baseline, values]) => ({label: word(label), baseline: JSON.parse(word(baseline)), values})),
});
const unpackRoofline = r => ({
  title: word(r.title), xUnit: word(r.x_unit), yUnit: word(r.y_unit), slopeUnit: word(r.slope_unit), peak: r.peak, slope: r.slope,
  spots: r.spots.map(([label, x, y, share, bound, before]) => ({label: word(label), x, y, share, bound: word(bound), before})),
});
const detailsOf = row => {
  const [breakdowns, commands, notes, timelines = [], rooflines = [], grids = [], listings = []] = P.details[row] || [[], [], []];
  return {
    breakdowns: breakdowns.map(([title, unit, labels, values]) => ({title: word(title), unit: word(unit), items: labels.map((l, i) => ({label: word(l), value: values[i]}))})),
    commands: commands.map(([title, lines, more]) => ({title: word(title), text: lines.map(word).join('\n'), notes: more.map(word)})),
    notes: notes.map(word),
    timelines: timelines.map(unpackTimeline),
    rooflines: rooflines.map(unpackRoofline),
    grids: grids.map(([title, unit, rows, columns, values]) => ({title: word(title), unit: word(unit), rows: rows.map(word), columns: columns.map(word), values: JSON.parse(word(values))})),
    listings: listings.map(([title, columns, rows]) => ({title: word(title), columns: columns.map(word), rows: rows.map(r => r.map(word))})),
  };
};
const axisTitle = f => pretty(f.name) + (f.unit || f.per ? ' [' + (f.unit || '1') + (f.per ? ' per ' + f.per : '') + ']' : '');
const arrow = f => f.better === 'lower' ? ' ↓ better' : f.better === 'higher' ? ' ↑ better' : '';
