// Sortable tables; long names open on demand.
const PAGE = 15;
function nameCell(name, marked) {
  const long = name.length > 48, cell = long ? make('details', {class: 'name', title: cut(name, 1000)}, make('summary', {}, cut(name, 160)), make('code', {}, name)) : make('span', {class: 'name'}, name || NAMELESS);
  return make('div', {class: 'named'}, marked && D && NAME.includes(name) ? make('button', {type: 'button', class: 'mark', title: 'Mark in the timeline', 'aria-label': 'Mark in the timeline: ' + cut(name, 80), onclick: () => { find(name, true); look(V.low, V.high); $('timeline').scrollIntoView(); }}, '◎') : null, cell);
}
// columns: {key, title, value(row), cell(row), text}; a table starts sorted by its first number, largest first.
// The first cell of a row opens ``more(row)`` below it, where that is given.
function sortable(host, caption, rows, columns, note, more) {
  const state = {key: columns.find(c => !c.text).key, down: true, all: false, open: new Set()}, box = make('div', {class: 'scroll'}), foot = make('p', {class: 'hint'});
  const draw = () => {
    const column = columns.find(c => c.key === state.key), sign = state.down ? -1 : 1;
    const sorted = rows.map((row, i) => [row, i]).sort(([p, i], [q, j]) => { const c = compareValues(column.value(p), column.value(q)); return Math.abs(c) === 2 && (column.value(p) == null || column.value(q) == null) ? c : c * sign || i - j; });
    const head = columns.map(c => make('th', {scope: 'col', class: c.text ? 't' : null, 'aria-sort': c.key === state.key ? (state.down ? 'descending' : 'ascending') : 'none'},
      make('button', {type: 'button', 'data-sort': c.key, title: c.about, onclick: () => { state.down = state.key === c.key ? !state.down : !c.text; state.key = c.key; draw(); box.querySelector(`[data-sort="${c.key}"]`).focus(); }}, c.title + (c.key === state.key ? (state.down ? ' ▼' : ' ▲') : ''))));
    const toggle = (i, text) => make('button', {type: 'button', class: 'opener', 'data-row': i, 'aria-expanded': String(state.open.has(i)), onclick: () => { if (!state.open.delete(i)) state.open.add(i); draw(); box.querySelector(`[data-row="${i}"]`).focus(); }}, (state.open.has(i) ? '▾ ' : '▸ ') + text);
    const cell = (c, row, i) => more && c === columns[0] ? toggle(i, c.cell(row)) : c.cell ? c.cell(row) : c.text ? String(c.value(row)) : show(c.value(row));
    const line = ([row, i]) => [make('tr', {}, columns.map(c => make('td', {class: c.text ? 't wrap' : null}, cell(c, row, i)))), more && state.open.has(i) ? make('tr', {class: 'more'}, make('td', {class: 't wrap', colspan: columns.length}, more(row))) : null];
    const body = (state.all ? sorted : sorted.slice(0, PAGE)).map(line);
    clear(box).append(make('table', {class: 'plain'}, make('caption', {class: 'skip'}, caption), make('thead', {}, make('tr', {}, head)), make('tbody', {}, body)));
    clear(foot).append(note || '');
    if (rows.length > PAGE) foot.append(' ', make('button', {type: 'button', onclick: () => { state.all = !state.all; draw(); }}, state.all ? `Show the first ${PAGE}` : `Show all ${grouped(rows.length)} rows`));
  };
  draw();
  host.append(box, foot);
}
const seconds = ns => ns === null || ns === undefined ? 'n/a' : show(ns / 1e9, 's');
const percent = share => share === null || share === undefined ? 'n/a' : (share * 100).toFixed(share < 0.9995 && share > 0 && share < 0.1 ? 2 : 1) + ' %';
const time = (key, title, about) => ({key, title, about, value: row => row[key], cell: row => seconds(row[key])});
function drawUses(host, uses, what) {
  const has = key => uses.rows.some(row => row[key] !== null), columns = [{key: 'name', title: 'name', text: true, value: row => row.name, cell: row => nameCell(row.name, true)}];
  if (has('self_time')) columns.push(time('self_time', 'self time', 'without children'));
  columns.push(time('time', 'time', 'in total, children included'));
  if (uses.total_time) columns.push({key: 'share', title: 'share', value: row => row.time / uses.total_time, cell: row => percent(row.time / uses.total_time)});
  if (has('kernel_time')) columns.push(time('kernel_time', 'kernel time', 'of the kernels it launched'));
  columns.push({key: 'count', title: 'count', value: row => row.count}, {key: 'mean', title: 'mean', value: row => row.time / row.count, cell: row => seconds(row.time / row.count)});
  if (has('longest')) columns.push(time('longest', 'longest', 'of a single one'));
  sortable(host, what, uses.rows, columns, uses.names > uses.rows.length ? `The ${uses.rows.length} that took most time or ran most often, of ${grouped(uses.names)} different names.` : '');
}
function drawCopies(host) {
  sortable(host, 'Memory copies by direction', P.copies, [{key: 'direction', title: 'direction', text: true, value: row => row.direction, cell: row => nameCell(row.direction, false)}, time('time', 'time'), {key: 'count', title: 'count', value: row => row.count},
    {key: 'bytes', title: 'moved', value: row => row.bytes || null, cell: row => row.bytes ? show(row.bytes, 'B') : 'not recorded'},
    {key: 'rate', title: 'rate', value: row => row.bytes && row.time ? row.bytes / row.time : null, cell: row => row.bytes && row.time ? show(row.bytes / row.time * 1e9, 'B/s') : 'n/a'}]);
}
// The kernels of a chain by position; a run of the same one is one line.
function chainList({kernels}) {
  const runs = [];
  kernels.forEach((name, i) => { if (i && kernels[i - 1] === name) runs[runs.length - 1].times++; else runs.push({name, at: i + 1, times: 1}); });
  return make('ol', {class: 'chain'}, runs.map(({name, at, times}) => make('li', {value: at}, make('code', {}, name || NAMELESS), times > 1 ? ` × ${times}` : null)));
}
function drawFusion(host) {
  const F = P.fusion, saved = F.chains.some(c => c.time_saved !== null);
  const when = F.host_bound === true ? 'This profile is host-bound, so they apply.' : F.host_bound === false ? 'This profile is not host-bound: expect none of the time saved.' : 'Whether this profile is host-bound is unknown.';
  host.append(make('p', {class: F.host_bound === true ? null : 'warning'}, `Upper bounds, valid only when the host holds the device back. ${when}`));
  if (F.launch_floor !== null) host.append(make('p', {class: 'hint'}, `Time saved = launches saved × launch floor of ${seconds(F.launch_floor)}${F.floor_source ? ' (' + F.floor_source + ')' : ''}; fusing saves no work of the kernels themselves.`));
  const columns = [{key: 'kernels', title: 'chain', text: true, value: row => row.kernels.join(' '), cell: row => cut(row.kernels.map(brief).join(' → '), 120)},
    {key: 'score', title: 'proximity', about: 'occurrences of the chain over those of its first kernel; 1 is deterministic', value: row => row.score, cell: row => row.score.toFixed(3).replace(/\.?0+$/, '')},
    {key: 'launches_saved', title: 'launches saved', value: row => row.launches_saved}];
  if (saved) columns.push(time('time_saved', 'time saved ≤', 'upper bound'));
  columns.push({key: 'length', title: 'length', value: row => row.kernels.length}, {key: 'occurrences', title: 'runs', value: row => row.occurrences},
    {key: 'ideal_ratio', title: 'ideal ratio', about: 'launches before over launches after', value: row => row.ideal_ratio, cell: row => digits(row.ideal_ratio, 3) + '×'});
  if (F.chains.some(c => c.where)) columns.push({key: 'where', title: 'where', text: true, value: row => row.where, cell: row => nameCell(row.where, false)});
  sortable(host, 'Chains of kernels', F.chains, columns, F.found > F.chains.length ? `The best ${F.chains.length} of ${grouped(F.found)} chains.` : '', chainList);
}
