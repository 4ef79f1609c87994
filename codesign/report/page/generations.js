// What became of the points of each batch of a search, where the page has every one of them.
const OUTCOMES = ['ok', 'infeasible', 'invalid', 'crashed', 'timeout'];
function drawGenerations() {
  const host = clear($('generations-body')), counted = Object.values(P.counts).reduce((a, n) => a + n, 0);
  const ends = P.histories.length === 1 ? P.histories[0].evaluations : [], last = ends[ends.length - 1];
  const complete = counted === N && last === N && ends.length > 2 && ends.length <= 80;
  $('generations').hidden = !complete || !WIDTH['progress-body'];
  if (!complete) return;
  const order = Array.from({length: N}, (_, r) => r).sort((a, b) => id[a] - id[b]);
  const groups = ends.map((end, i) => order.slice(i ? ends[i - 1] : 0, end)).filter(g => g.length);
  const first = groups[0].length === 1 && groups[0][0] === P.baseline ? 1 : 0, batches = groups.slice(first);
  const found = OUTCOMES.filter(o => status.includes(o)), colour = o => COLOURS[[2, 8, 5, 1, 3][OUTCOMES.indexOf(o)]];
  const share = batches.map(g => found.map(o => g.filter(r => status[r] === o).length / g.length));
  const width = Math.max(270, Math.min(560, WIDTH['progress-body'])), height = 200, box = {left: 46, right: width - 8, top: 8, bottom: height - 38}, step = (box.right - box.left) / batches.length;
  const words = batches.map((g, i) => `generation ${i + 1}, ${g.length} points: ` + found.map((o, k) => `${o} ${(share[i][k] * 100).toFixed(0)} %`).join(', '));
  const svg = shape('svg', {class: 'chart', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': words.join('; ')});
  for (const t of [0, 0.5, 1]) svg.append(shape('text', {class: 'soft', x: box.left - 6, y: box.bottom - t * (box.bottom - box.top) + 4, 'text-anchor': 'end'}, t * 100 + ' %'));
  batches.forEach((_, i) => {
    let y = box.bottom;
    const bar = shape('g', {}, shape('title', {}, words[i]));
    found.forEach((o, k) => { const h = share[i][k] * (box.bottom - box.top); y -= h; bar.append(shape('rect', {x: box.left + i * step + 0.5, y, width: Math.max(1, step - 1), height: h, style: `fill:${colour(o)}`})); });
    svg.append(bar);
    if (i % Math.ceil(batches.length / 8) === 0) svg.append(shape('text', {class: 'soft', x: box.left + (i + 0.5) * step, y: box.bottom + 15, 'text-anchor': 'middle'}, String(i + 1)));
  });
  svg.append(shape('text', {class: 'soft', x: (box.left + box.right) / 2, y: height - 4, 'text-anchor': 'middle'}, 'generation'));
  host.append(make('div', {}, make('h3', {}, 'Outcomes'), svg, make('div', {class: 'items'}, found.map(o => make('span', {}, make('span', {class: 'swatch', style: `background:${colour(o)}`}), `${o} ${grouped(P.counts[o] || 0)} (${((P.counts[o] || 0) / N * 100).toFixed(0)} %)`)))));
  for (const f of objectives) drawBest(host, f, groups, first);
}
// The best value of an objective up to each generation, and the median of those that are ok.
function drawBest(host, f, groups, first) {
  const sign = f.better === 'higher' ? -1 : 1, x = [], best = [], middle = [];
  let so = Infinity;
  groups.forEach((g, i) => {
    const values = g.filter(r => status[r] === 'ok' && typeof f.values[r] === 'number').map(r => f.values[r] * sign).sort((a, b) => a - b);
    if (!values.length) return;
    so = Math.min(so, values[0]);
    x.push(i + 1 - first); best.push(so * sign); middle.push(values[Math.floor((values.length - 1) / 2)] * sign);
  });
  if (x.length < 2) return;
  const text = `${pretty(f.name)}: best ${show(best[0], f.unit, 3)} at first, ${show(best[best.length - 1], f.unit, 3)} at the end`, cell = make('div', {}, make('h3', {}, pretty(f.name)));
  host.append(cell);
  chart(cell, {series: [{x, y: best, kind: 'line'}, {x, y: middle, kind: 'line'}], fx: {name: 'generation', unit: '', per: '', better: ''}, fy: f, logX: false, logY: wantsLog(best.concat(middle)), height: 200, width: WIDTH['progress-body'], text});
  cell.append(make('div', {class: 'items'}, ['best so far', 'median of the generation'].map((t, i) => make('span', {}, make('span', {class: 'swatch', style: `background:${COLOURS[i]}`}), t))));
}
