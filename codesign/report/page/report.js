// Widths are read together before anything is drawn: a read after a change makes the browser lay out anew.
const WIDTH = {};
function measure() {
  for (const name of ['scatter-plot', 'parallel-plot', 'progress-body']) WIDTH[name] = $(name).clientWidth || document.body.clientWidth;
}
// Controls, and what redraws when.
function drawControls() {
  const axes = fields.filter(f => f.role !== 'parameter' && numeric(f)).map(f => [f.name, axisTitle(f)]);
  const bar = clear($('scatter-controls'));
  const redraw = () => { drawControls(); drawScatter(); };
  if (P.views.length > 1) {
    const current = P.views.findIndex(v => v[0] === S.x && v[1] === S.y);
    bar.append(choice('View', [...(current < 0 ? [['-1', 'own axes']] : []), ...P.views.map((v, i) => [String(i), `${pretty(v[1])} against ${pretty(v[0])}`])], String(current),
      i => { if (i >= 0) { [S.x, S.y] = P.views[i]; S.logX = S.logY = null; redraw(); } }));
  }
  bar.append(choice('x', axes, S.x, v => { S.x = v; S.logX = null; redraw(); }), choice('y', axes, S.y, v => { S.y = v; S.logY = null; redraw(); }));
  const scales = [['auto', 'automatic'], ['log', 'logarithmic'], ['linear', 'linear']], key = v => v === null ? 'auto' : v ? 'log' : 'linear';
  const read = v => v === 'auto' ? null : v === 'log';
  bar.append(choice('scale', scales, key(S.logX), v => { S.logX = S.logY = read(v); drawScatter(); }));
  if (status.slice(F).includes('ok')) bar.append(check('dominated', S.others, v => { S.others = v; drawScatter(); drawParallel(); }));
  if (status.some(s => s !== 'ok')) bar.append(check('infeasible', S.bad, v => { S.bad = v; drawScatter(); }));
  bar.append(make('button', {type: 'button', onclick: () => saveFigure(plot.svg, 'scatter.svg')}, 'Save SVG'));
  const icon = (kind, d, text) => make('li', {}, shape('svg', {width: 16, height: 16, 'aria-hidden': 'true'}, shape('path', {class: kind, d, style: kind === 'others' ? 'opacity:.9' : null})), text);
  const ring = 'M3.5 8a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0Z', items = [];
  if (P.runs.length > 1) P.runs.forEach((r, i) => items.push(icon('front' + ['', ' alt', ' alt2', ' alt3'][i % 4], i % 2 ? square(8, 8, 4) : ring, r)));
  else items.push(icon('front', ring, 'front'));
  if (P.unknown.length) items.push(icon('front hollow', ring, 'quality unknown (a front apart)'));
  if (status.slice(F).includes('ok')) items.push(icon('others', 'M8 8h0', 'dominated'));
  if (S.bad) items.push(icon('bad', 'M5 5l6 6m-6 0l6-6', 'infeasible'));
  if (P.knee !== null) items.push(icon('knee', star(8, 8, 7), 'knee'));
  if (P.baseline !== null) items.push(icon('base', diamond(8, 8, 6), 'baseline'));
  if (P.constraints.length) items.push(icon('limit', 'M1 8H15', 'limit'));
  clear($('scatter-legend')).append(...items);
}
function drawBrushes() {
  const bar = clear($('parallel-controls'));
  for (const [name, brush] of S.brushes) bar.append(make('button', {type: 'button', title: 'remove this range', onclick: () => { S.brushes.delete(name); drawFiltered(); }}, `${pretty(name)}: ${brush.text} ✕`));
  if (S.brushes.size) bar.append(make('button', {type: 'button', id: 'clear-brushes', onclick: () => { S.brushes.clear(); drawFiltered(); }}, 'Clear all'));
}
function drawFiltered() { drawBrushes(); drawParallel(); drawScatter(); drawTable(); }
function drawTableControls() {
  const bar = clear($('table-controls')), grouped = P.leader.some((leader, row) => leader !== row);
  if (grouped) bar.append(check('group near-duplicates', S.grouped, v => { S.grouped = v; drawTable(); }));
  bar.append(check('all columns', S.allColumns, v => { S.allColumns = v; drawTable(); }));
  bar.append(make('button', {type: 'button', onclick: () => save('front.csv', 'text/csv', tableCsv())}, 'Save CSV'));
}
function pick(row) {
  S.picked = row;
  for (const node of $('table').querySelectorAll('tr[data-row]')) {
    const mine = Number(node.dataset.row) === row;
    node.classList.toggle('picked', mine);
    node.querySelector('button').setAttribute('aria-pressed', mine ? 'true' : 'false');
  }
  drawCard();
  drawOverlay();
  markStrand();
}
function drawSized() { measure(); drawScatter(); drawParallel(); drawProgress(); drawGenerations(); drawVerification(); drawTimelines(S.picked); drawRooflines(S.picked); }
measure();
drawHeader();
drawControls();
drawTableControls();
S.picked = P.knee;
drawScatter();
drawCard();
addEventListener('load', () => setTimeout(() => {  // what is below the fold waits until the page is up
  drawTable();
  drawParallel();
  drawProgress();
  drawGenerations();
  drawVerification();
  drawReasons();
  drawImportance();
  document.body.dataset.ready = 'true';
  performance.mark('ready');
}, 0));
let width = document.body.clientWidth, timer = 0;
addEventListener('resize', () => {
  clearTimeout(timer);
  timer = setTimeout(() => { if (document.body.clientWidth !== width) { width = document.body.clientWidth; drawSized(); } }, 120);
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawSized);
