// Everything else: header, card of a point, breakdowns, progress, reasons, importance, verification.
const COLOURS = Array.from({length: 10}, (_, i) => `var(--c${i})`);
function drawHeader() {
  $('title').textContent = P.title;
  $('question').textContent = P.question;
  const found = Object.entries(P.counts).filter(([, v]) => v).map(([k, v]) => `${grouped(v)} ${k}`).join(', ');
  $('summary').textContent = `${grouped(F)} points on the front` + (found ? `; evaluations: ${found}` : '') + `; ${grouped(N)} points in this page` +
    (P.omitted ? `, ${grouped(P.omitted)} dominated ones thinned out evenly` : '') + '. Intervals cover 90 %.';
  $('header').replaceWith(terms(P.header.concat(P.runs.length > 1 ? [['Runs', P.runs.map((r, i) => `${i + 1}: ${r}`).join('; ')]] : [])));
  const host = $('sources');
  if (P.quality.length) {
    const total = P.quality.reduce((a, q) => a + q[1], 0);
    host.append(make('p', {}, 'Data quality: objective values on the front are ' + P.quality.map(([name, n]) => `${Math.round(n / total * 100)} % ${name}`).join(', ') + '.'));
  }
  if (P.sources.length) host.append(make('h3', {}, 'Sources of numbers'), make('ul', {}, P.sources.map(s => make('li', {}, s))));
}
function objectiveText(f, row) {
  let text = show(f.values[row], f.unit) + (f.per ? ' per ' + f.per : '');
  if (row < F && low[f.name] && low[f.name][row] !== null && low[f.name][row] !== high[f.name][row]) text += ` (${show(low[f.name][row], f.unit, 3)} – ${show(high[f.name][row], f.unit, 3)})`;
  const change = delta(f, row);
  return text + (change === null ? '' : `, ${signed(change)} to baseline`);
}
// The whole configuration of a point; short for the tip under the pointer.
function configuration(row, short) {
  const nodes = [make('strong', {}, label(row) + ' '), ...marks(row).map(([text, kind]) => make('span', {class: 'tag ' + kind}, pretty(text)))];
  if (reason[row]) nodes.push(make('div', {class: 'worse'}, reason[row]));
  nodes.push(terms(objectives.map(f => [pretty(f.name), objectiveText(f, row)])));
  nodes.push(terms(parameters.filter(f => f.values[row] !== null).map(f => [pretty(f.name), cellText(f.values[row], f)])));
  if (!short && metrics.length) nodes.push(make('h3', {}, 'Also'), terms(metrics.filter(f => f.values[row] !== null).map(f => [pretty(f.name), show(f.values[row], f.unit) + (f.per ? ' per ' + f.per : '')])));
  return nodes;
}
function commandBlock(title, text, notes = []) {
  const button = make('button', {type: 'button', 'aria-label': 'Copy: ' + title, onclick: () => copyText(text, button)}, 'Copy');
  return make('div', {class: 'command'}, make('div', {class: 'command-head'}, make('strong', {}, title), button), make('pre', {tabindex: 0}, text), notes.map(n => make('p', {class: 'hint'}, n)));
}
function drawCard() {
  const card = clear($('card')), row = S.picked;
  if (row === null) { card.append(make('div', {}, make('h3', {id: 'card-h'}, 'No point chosen'), make('p', {class: 'hint'}, 'Click a point, or a row of the table.'))); drawBreakdowns(null); drawTimelines(null); drawRooflines(null); drawGrids(null); drawListings(null); return; }
  const more = detailsOf(row), nodes = configuration(row, false).slice(1);
  const box = make('div', {}, make('h3', {id: 'card-h'}, 'Point ' + label(row)), ...nodes);
  const origin = [...new Set(objectives.map(f => row < F && source[f.name][row]).filter(Boolean))];
  if (origin.length) box.append(make('p', {class: 'hint'}, 'Source of these numbers: ' + origin.join('; ')));
  for (const note of more.notes) box.append(make('p', {class: 'hint'}, note));
  for (const c of more.commands) box.append(commandBlock(c.title, c.text, c.notes));
  if (P.explained) box.append(commandBlock('why is it so', `codesign explain '${reference(row).replace(/'/g, "'\\''")}'`));
  card.append(box);
  if (document.body.dataset.ready) card.scrollTop = 0;
  drawBreakdowns(row);
  drawTimelines(row);
  drawRooflines(row);
  drawGrids(row);
  drawListings(row);
}
function drawBreakdowns(row) {
  const section = $('inside'), list = row === null ? [] : detailsOf(row).breakdowns.filter(b => b.items.length), host = clear($('breakdowns'));
  const any = Object.values(P.details).some(d => d[0].length);
  section.hidden = !any;
  if (!any) return;
  $('inside-h').textContent = row === null ? 'What the chosen point is made of' : `What ${label(row)} is made of`;
  if (!list.length) host.append(make('p', {class: 'hint'}, row === null ? 'Choose a point.' : 'No breakdown is stored for this point' + (P.explained ? '; `codesign explain` computes one.' : '.')));
  const colours = new Map(), colourOf = name => colours.get(name) ?? colours.set(name, COLOURS[colours.size % 10]).get(name);
  for (const b of list) {
    const items = b.items.filter(i => typeof i.value === 'number' && i.value > 0).sort((p, q) => q.value - p.value), total = items.reduce((a, i) => a + i.value, 0);
    const text = items.map(i => `${i.label} ${show(i.value, b.unit, 3)} (${i.value / total < 0.005 ? '<1' : (i.value / total * 100).toFixed(0)} %)`);
    const svg = shape('svg', {class: 'chart', width: '100%', height: 26, role: 'img', 'aria-label': `${b.title}: ${text.join(', ')}`});
    let x = 0;
    items.forEach((item, i) => {
      const share = item.value / total * 100;
      svg.append(shape('rect', {x: x + '%', y: 2, width: Math.max(share - 0.15, 0.05) + '%', height: 22, style: `fill:${colourOf(item.label)}`}, shape('title', {}, text[i])));
      x += share;
    });
    host.append(make('div', {class: 'stack'}, make('div', {}, make('strong', {}, b.title), make('span', {class: 'sub'}, b.unit ? show(total, b.unit) : '')),
      make('div', {}, svg, make('div', {class: 'items'}, items.map((item, i) => make('span', {}, make('span', {class: 'swatch', style: `background:${colourOf(item.label)}`}), text[i]))))));
  }
}
// A small chart of lines or dots; series: [{x:[], y:[], kind}].
function chart(host, options) {
  const width = Math.max(270, Math.min(560, options.width)), height = options.height || 230, box = {left: 70, right: width - 14, top: 12, bottom: height - 42};
  // with a diagonal both axes share their range, intervals included, so that equality is the line it should be
  const ends = options.series.flatMap(s => [...(s.low || []), ...(s.high || [])]), both = options.diagonal ? [...options.diagonal, ...ends] : [];
  const xs = options.series.flatMap(s => s.x).concat(both), ys = options.series.flatMap(s => s.y).concat(both);
  const sx = scaleOf(xs, box.left, box.right, options.logX, Math.floor(width / 110)), sy = scaleOf(ys, box.bottom, box.top, options.logY, 4);
  const svg = shape('svg', {class: 'chart', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': options.text});
  drawAxes(svg, box, sx, sy, options.fx, options.fy, options.logX, options.logY, width);
  for (const line of options.rules || []) {
    const x = sx(line.at);
    svg.append(shape('line', {class: 'limit', x1: x, x2: x, y1: box.top, y2: box.bottom}), shape('text', {class: 'limit-text halo', x: x > (box.left + box.right) / 2 ? x - 4 : x + 4, 'text-anchor': x > (box.left + box.right) / 2 ? 'end' : 'start', y: line.y ? box.bottom - line.y : box.bottom - 8}, line.text));
  }
  if (options.diagonal) { const [a, b] = options.diagonal; const low = Math.min(a, ...both), high = Math.max(b, ...both); svg.append(shape('line', {class: 'limit', x1: sx(low), y1: sy(low), x2: sx(high), y2: sy(high)})); }
  options.series.forEach((s, number) => {
    if (s.kind === 'line') {
      let d = '';
      s.x.forEach((v, i) => { const x = sx(v).toFixed(1), y = sy(s.y[i]).toFixed(1); d += i ? `H${x}V${y}` : `M${x} ${y}`; });
      svg.append(shape('path', {class: 'strand', style: `opacity:1;stroke-width:2;stroke:${COLOURS[number % 10]}`, d}));
    } else s.x.forEach((v, i) => {
      if (s.low) svg.append(shape('path', {class: 'whisker', style: 'opacity:.5', d: `M${sx(s.low[i])} ${sy(s.y[i])}H${sx(s.high[i])}`}));
      svg.append(shape('circle', {class: 'front', cx: sx(v), cy: sy(s.y[i]), r: 4.5}, shape('title', {}, s.text ? s.text[i] : '')));
    });
  });
  host.append(svg);
}
function drawProgress() {
  const host = clear($('progress-body')), all = P.histories.filter(h => h.evaluations.length);
  if (!all.length) { host.append(make('p', {class: 'hint'}, 'No history was recorded.')); return; }
  const series = P.histories.filter(h => h.evaluations.length > 1).map(h => ({x: h.evaluations, y: h.hypervolume, kind: 'line'}));
  const marks = all[0].marks, rules = all.length === 1 && marks['95'] != null ? [{at: marks['95'], text: '95 %', y: 8}].concat(marks['99'] != null ? [{at: marks['99'], text: '99 %', y: 24}] : []) : [];
  const words = all.map((h, i) => (all.length > 1 ? `Run ${i + 1}: ` : '') + `hypervolume ${digits(h.hypervolume[h.hypervolume.length - 1])} after ${grouped(h.evaluations[h.evaluations.length - 1])} evaluations` +
    (h.marks['95'] != null ? `; 95 % of it after ${grouped(h.marks['95'])}, 99 % after ${grouped(h.marks['99'] ?? 0)}` : '') + '.');
  if (series.length) chart(host, {series, rules, fx: {name: 'evaluations', unit: '', per: '', better: ''}, fy: {name: 'hypervolume', unit: '', per: '', better: 'higher'}, logX: false, logY: false, width: WIDTH['progress-body'], text: words.join(' ')});
  for (const w of words) host.append(make('p', {}, w));
  P.reference.forEach((point, i) => { if (point) host.append(make('p', {class: 'hint'}, `Reference point${P.runs.length > 1 ? ' of run ' + (i + 1) : ''}: ` + point.map((v, k) => `${pretty(objectives[k].name)} ${show(v, objectives[k].unit)}`).join(', '))); });
}
function drawReasons() {
  const host = clear($('reasons-body')), entries = Object.entries(P.reasons).sort((a, b) => b[1] - a[1]), total = Object.values(P.counts).reduce((a, n) => a + n, 0) || entries.reduce((a, e) => a + e[1], 0);
  if (!entries.length) { host.append(make('p', {class: 'hint'}, 'Every evaluated point was feasible.')); return; }
  host.append(make('div', {class: 'scroll'}, make('table', {class: 'plain'}, make('thead', {}, make('tr', {}, ['reason', 'points', 'of all evaluated'].map((t, i) => make('th', {scope: 'col', class: i ? null : 't'}, t)))),
    make('tbody', {}, entries.map(([text, n]) => make('tr', {}, make('td', {class: 't wrap'}, text), make('td', {}, grouped(n)), make('td', {}, (n / total * 100).toFixed(1) + ' %')))))));
}
function drawImportance() {
  const host = clear($('importance-body')), names = Object.keys(P.importance);
  $('importance').hidden = !names.length;
  $('importance-note').textContent = 'Share of the variance of each objective that a parameter explains on its own (adjusted correlation ratio over the feasible points kept; logarithm of positive objectives). It sees no interactions, and an engine that looks where it is good is no random sample. The lines show the mean at each level of the two that matter most.';
  for (const name of names) {
    const f = byName.get(name), box = make('div', {}, make('h3', {}, pretty(name))), list = P.importance[name].filter(e => e.share >= 0.005).slice(0, 7);
    host.append(box);
    if (!list.length) { box.append(make('p', {class: 'hint'}, 'No parameter explains anything on its own.')); continue; }
    const svg = shape('svg', {class: 'chart', width: '100%', height: list.length * 22, role: 'img', 'aria-label': `Importance for ${pretty(name)}: ` + list.map(e => `${pretty(e.name)} ${(e.share * 100).toFixed(0)} %`).join(', ')});
    list.forEach((e, i) => svg.append(shape('text', {x: 0, y: i * 22 + 15}, cut(pretty(e.name), 20)), shape('rect', {x: '36%', y: i * 22 + 3, width: e.share * 52 + '%', height: 15, style: 'fill:var(--front)'}), shape('text', {x: (37 + e.share * 52) + '%', y: i * 22 + 15, class: 'soft'}, (e.share * 100).toFixed(0) + ' %')));
    box.append(svg);
    for (const e of list.slice(0, 2)) if (e.effect && e.effect.length > 1) box.append(effect(f, e));
  }
}
function effect(f, entry) {
  const values = entry.effect.map(e => e[1]), width = 400, height = 84, log = wantsLog(values), scale = scaleOf(values, height - 22, 18, log), step = (width - 60) / Math.max(1, values.length - 1);
  const svg = shape('svg', {class: 'chart', width: '100%', height, viewBox: `0 0 ${width} ${height}`, style: 'max-width:440px', role: 'img', 'aria-label': `Mean ${pretty(f.name)} by ${pretty(entry.name)}: ` + entry.effect.map(([k, v]) => `${k}: ${show(v, f.unit, 3)}`).join(', ')});
  const at = i => [30 + i * step, scale(values[i])];
  svg.append(shape('path', {class: 'strand', d: values.map((_, i) => (i ? 'L' : 'M') + at(i).map(v => v.toFixed(1)).join(' ')).join('')}));
  const every = Math.ceil(values.length / 8);
  entry.effect.forEach(([key, value], i) => {
    const [x, y] = at(i);
    svg.append(shape('circle', {class: 'front', cx: x, cy: y, r: 3.5}, shape('title', {}, `${key}: ${show(value, f.unit)}`)));
    if (i % every === 0) svg.append(shape('text', {class: 'soft', x, y: height - 4, 'text-anchor': 'middle', 'font-size': 10}, cut(key, Math.max(4, Math.floor(step * every / 6)))), shape('text', {class: 'halo', x, y: y - 7, 'text-anchor': 'middle', 'font-size': 10}, show(value, f.unit, 2)));
  });
  return make('div', {}, make('span', {class: 'hint'}, `mean ${pretty(f.name)} by ${pretty(entry.name)}`), svg);
}
// The rows of a verification, whatever shape they are stored in: a list of objects, or columns.
function verificationRows(v) {
  const rows = v.rows || v.points || v.measurements || (Array.isArray(v) ? v : null);
  if (Array.isArray(rows)) return rows;
  const columns = rows && typeof rows === 'object' ? rows : v.columns;
  if (!columns) return [];
  const keys = Object.keys(columns).filter(k => Array.isArray(columns[k])), count = keys.length ? columns[keys[0]].length : 0;
  return Array.from({length: count}, (_, i) => Object.fromEntries(keys.map(k => [k, columns[k][i]])));
}
function drawVerification() {
  const host = clear($('verification-body')), whole = WIDTH['parallel-plot'], all = P.verification.filter(Boolean);
  $('verification').hidden = !all.length;
  if (all.some(judgedAgain)) $('verification-h').textContent = 'Measured again';
  for (const v of all) {
    if (judgedAgain(v)) { drawAgain(host, v, whole); continue; }
    const scalars = Object.entries(v).filter(([, x]) => ['string', 'number', 'boolean'].includes(typeof x));
    const rows = verificationRows(v);
    const pairs = rows.filter(r => typeof r.predicted === 'number' && typeof r.measured === 'number');
    if (scalars.length) host.append(terms(scalars.map(([k, x]) => [pretty(k), typeof x === 'number' && /error|inside|coverage/.test(k) ? digits(x * 100, 3) + ' %' : show(x)])));
    for (const notes of [v.notes, v.left_front]) if (Array.isArray(notes) && notes.length && typeof notes[0] !== 'object') host.append(make('p', {}, (notes === v.left_front ? 'Left the front: ' : '') + notes.join(', ')));
    const groups = new Map();
    for (const r of pairs) { const key = r.objective || r.metric || 'value'; groups.set(key, (groups.get(key) || []).concat(r)); }
    const plots = make('div', {class: 'pair'});
    host.append(plots);
    for (const [name, list] of groups) {
      const cell = make('div', {}, make('h3', {}, pretty(name))), unit = list[0].unit || (byName.get(name) || {}).unit || '';
      plots.append(cell);
      const both = list.flatMap(r => [r.predicted, r.measured]), log = wantsLog(both), intervals = list.every(r => typeof r.low === 'number' && typeof r.high === 'number');
      chart(cell, {series: [{x: list.map(r => r.predicted), y: list.map(r => r.measured), low: intervals ? list.map(r => r.low) : null, high: intervals ? list.map(r => r.high) : null,
        text: list.map(r => `#${r.id ?? ''}: predicted ${show(r.predicted, unit)}, measured ${show(r.measured, unit)}`)}, {x: both, y: both, kind: 'none', text: null}].slice(0, 2).map((s, i) => i ? {x: [], y: []} : s),
        diagonal: [Math.min(...both), Math.max(...both)], fx: {name: 'predicted', unit, per: '', better: ''}, fy: {name: 'measured', unit, per: '', better: ''}, logX: log, logY: log, height: 280, width: whole > 900 ? whole / 2 - 16 : whole,
        text: `${list.length} points, predicted against measured, with the line where they are equal`});
    }
    if (!rows.length) continue;
    const keys = [...new Set(rows.flatMap(r => Object.keys(r)))].filter(k => rows.some(r => typeof r[k] !== 'object' || r[k] === null));
    const unitOf = (r, k) => ['predicted', 'measured', 'calibrated', 'low', 'high', 'low_after', 'high_after', 'spread'].includes(k) ? r.unit || (byName.get(r.objective || r.metric) || {}).unit || '' : '';
    host.append(make('div', {class: 'scroll'}, make('table', {class: 'plain'}, make('thead', {}, make('tr', {}, keys.map(k => make('th', {scope: 'col'}, pretty(k))))),
      make('tbody', {}, rows.map(r => make('tr', {}, keys.map(k => make('td', {}, show(r[k], unitOf(r, k))))))))));
  }
}
