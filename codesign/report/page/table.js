// The table of the front: sortable, near-duplicates under their representative, filtered by the brushes.
const PAGE = 40, MOST_DESIGN = 6;
function tableColumns() {
  const columns = [{name: 'id', title: 'point', value: r => id[r], text: true}];
  if (P.runs.length > 1) columns.push({name: 'run', title: 'run', value: r => P.runs[run[r]], text: true});
  const design = parameters.filter(f => S.allColumns || variesOnFront(f)).map(f => ({name: f.name, f, title: axisTitle(f), value: r => f.values[r], text: !numeric(f)}));
  const goals = objectives.flatMap(f => [{name: f.name, f, title: axisTitle(f), value: r => f.values[r], interval: true}, ...(P.baseline !== null ? [{name: f.name + ' change', title: 'to baseline', value: r => delta(f, r), change: f}] : [])]);
  columns.push(...(design.length > MOST_DESIGN ? [...goals, ...design] : [...design, ...goals]));  // many parameters would push the objectives out of sight
  if (S.allColumns) for (const f of metrics) columns.push({name: f.name, f, title: axisTitle(f), value: r => f.values[r], text: !numeric(f)});
  columns.push({name: ':knee', title: 'knee rank', value: r => P.kneeRank[r]}, {name: ':ideal', title: 'distance to ideal', value: r => ideal[r]});
  return columns;
}
function sortedRows(columns) {
  const column = columns.find(c => c.name === S.sort.name) || columns.find(c => c.interval) || columns[0];
  S.sort.name = column.name;
  const sign = S.sort.down ? -1 : 1;
  return frontRows.filter(passes).sort((a, b) => {
    const c = compareValues(column.value(a), column.value(b));
    return Math.abs(c) === 2 && (column.value(a) === null || column.value(b) === null) ? c : c * sign || a - b;
  });
}
function drawTable() {
  const host = $('table'), columns = tableColumns(), sorted = sortedRows(columns), scroll = document.body.dataset.ready ? host.scrollTop : 0;
  const members = new Map();
  for (const r of sorted) { const key = P.leader[r]; if (members.has(key)) members.get(key).push(r); else members.set(key, [r]); }
  let rows = sorted;
  if (S.grouped) {
    const seen = new Set();
    rows = [];
    for (const r of sorted) {
      const key = P.leader[r], group = members.get(key), head = group.includes(key) ? key : group[0];
      if (seen.has(key)) continue;
      seen.add(key);
      rows.push(head);
      if (S.open.has(key)) rows.push(...group.filter(other => other !== head));
    }
  }
  const total = rows.length;
  if (!S.allRows) rows = rows.slice(0, PAGE);
  const head = make('tr', {}, columns.map(c => make('th', {scope: 'col', class: c.text ? 't' : null, 'aria-sort': c.name === S.sort.name ? (S.sort.down ? 'descending' : 'ascending') : 'none'},
    make('button', {type: 'button', 'data-sort': c.name, onclick: () => { S.sort.down = S.sort.name === c.name ? !S.sort.down : false; S.sort.name = c.name; drawTable(); $('table').querySelector(`[data-sort="${CSS.escape(c.name)}"]`).focus(); }},
      c.title + (c.name === S.sort.name ? (S.sort.down ? ' ▼' : ' ▲') : '')))));
  const body = rows.map(r => tableRow(r, columns, members));
  clear(host).append(make('table', {}, make('caption', {class: 'skip'}, 'Points of the Pareto front'), make('thead', {}, head), make('tbody', {}, body)));
  if (scroll) host.scrollTop = scroll;
  const same = parameters.filter(f => F && !variesOnFront(f)).map(f => `${pretty(f.name)} ${show(f.values[0], f.unit)}`);
  const note = clear($('table-note'));
  const hidden = F - sorted.length;
  note.append(`${sorted.length} of ${F} front points${hidden ? ' (the rest is outside the kept ranges)' : ''}` + (S.grouped && total < sorted.length ? `, ${total} after grouping points within ${P.near * 100} % of each other in every objective` : '') + '. ');
  if (same.length) note.append(`The same for all: ${same.join(', ')}. `);
  if (total > rows.length) note.append(make('button', {type: 'button', onclick: () => { S.allRows = true; drawTable(); }}, `Show all ${total} rows`));
}
function tableRow(r, columns, members) {
  const group = members.get(P.leader[r]), head = group.includes(P.leader[r]) ? P.leader[r] : group[0];
  const row = make('tr', {'data-row': r, class: r === S.picked ? 'picked' : null, onclick: () => pick(r), onpointerenter: () => { S.hover = r; drawOverlay(); markStrand(); }, onpointerleave: () => { S.hover = null; drawOverlay(); markStrand(); }});
  for (const c of columns) {
    const value = c.value(r), long = c.name === 'id' || String(value).length > 28, cell = make('td', {class: c.text ? (long ? 't wrap' : 't') : null});
    if (c.name === 'id') {
      cell.append(make('button', {type: 'button', 'aria-pressed': r === S.picked ? 'true' : 'false', onclick: event => { event.stopPropagation(); pick(r); }}, label(r)), ' ');
      if (S.grouped && r === head && group.length > 1) cell.append(make('button', {type: 'button', 'aria-expanded': S.open.has(P.leader[r]) ? 'true' : 'false', title: 'near-duplicates', onclick: event => { event.stopPropagation(); const key = P.leader[r]; if (!S.open.delete(key)) S.open.add(key); drawTable(); }}, `+${group.length - 1}`), ' ');
      if (S.grouped && r !== head) cell.append(make('span', {class: 'sub'}, 'near ' + label(head)));
      for (const [text, kind] of marks(r)) cell.append(make('span', {class: 'tag ' + kind}, pretty(text)));
    } else if (c.change) {
      if (value === null) cell.append('–');
      else cell.append(make('span', {class: Math.abs(value) < 0.05 ? '' : (value < 0) === (c.change.better !== 'higher') ? 'good' : 'worse'}, signed(value)));
    } else if (c.interval) {
      cell.append(cellText(value, c.f));
      if (low[c.f.name][r] !== null && low[c.f.name][r] !== high[c.f.name][r]) cell.append(make('span', {class: 'sub'}, `${cellText(low[c.f.name][r], c.f, 3)} – ${cellText(high[c.f.name][r], c.f, 3)}`));
    } else cell.append(c.f ? cellText(value, c.f) : show(value, '', c.name === ':ideal' ? 3 : 4));
    row.append(cell);
  }
  return row;
}
function tableCsv() {
  const columns = [...parameters, ...objectives, ...metrics], quote = v => { const t = v === null || v === undefined ? '' : String(v); return typeof v === 'number' ? t : '"' + (/^[=+\-@]/.test(t) ? "'" : '') + t.replace(/"/g, '""') + '"'; };
  const lines = [['id', ...columns.map(f => f.unit ? `${f.name} [${f.unit}]` : f.name)].map(quote).join(',')];
  for (const r of frontRows.filter(passes)) lines.push([id[r], ...columns.map(f => f.values[r])].map(quote).join(','));
  return lines.join('\n') + '\n';
}
