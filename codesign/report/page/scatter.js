// The scatter of one pair: SVG up to SVG_MARKS marks, a canvas under it beyond; one hit grid serves both.
const SVG_MARKS = 2000, CELL = 24;
const S = {x: P.views[0][0], y: P.views[0][1], logX: null, logY: null, others: true, bad: false, picked: null, hover: null,
  brushes: new Map(), sort: {name: null, down: false}, grouped: true, allRows: false, allColumns: false, open: new Set()};
let plot = null;
const passes = row => {
  for (const [name, brush] of S.brushes) if (!brush.keeps(byName.get(name).values[row])) return false;
  return true;
};
const visible = row => row < F || (status[row] === 'ok' ? S.others : S.bad);
function drawScatter() {
  const host = $('scatter-plot'), width = Math.max(280, WIDTH['scatter-plot']), height = Math.round(Math.min(520, Math.max(320, width * 0.62)));
  const fx = byName.get(S.x), fy = byName.get(S.y), focused = document.activeElement && document.activeElement.id === 'scatter-svg';
  const rows = [];
  for (let row = 0; row < N; row++)
    if ((visible(row) || row === P.baseline) && typeof fx.values[row] === 'number' && typeof fy.values[row] === 'number') rows.push(row);
  const limits = f => P.constraints.filter(c => c.metric === f.name).map(c => c.limit);
  const xs = rows.map(r => fx.values[r]), ys = rows.map(r => fy.values[r]);
  const logX = S.logX ?? wantsLog(xs), logY = S.logY ?? wantsLog(ys);
  const box = {left: 88, right: width - 16, top: 14, bottom: height - 50};
  const near = (values, list) => {  // a limit far outside the data would squeeze it: left out of the scale
    let a = Infinity, b = -Infinity;
    for (const v of values) { if (v < a) a = v; if (v > b) b = v; }
    return list.filter(l => l >= a - (b - a) && l <= b + (b - a));
  };
  const sx = scaleOf(xs.concat(near(xs, limits(fx))), box.left, box.right, logX, Math.max(3, Math.floor(width / 110)));
  const sy = scaleOf(ys.concat(near(ys, limits(fy))), box.bottom, box.top, logY);
  const svg = shape('svg', {id: 'scatter-svg', width, height, viewBox: `0 0 ${width} ${height}`, tabindex: 0, role: 'application',
    'aria-roledescription': 'scatter plot', 'aria-label': scatterText(fx, fy, rows)});
  drawAxes(svg, box, sx, sy, fx, fy, logX, logY, width);
  const at = new Map(), grid = new Map();
  for (const row of rows) {
    const x = sx(fx.values[row]), y = sy(fy.values[row]);
    if (!isFinite(x) || !isFinite(y)) continue;
    at.set(row, [x, y]);
    const key = Math.floor(x / CELL) + ',' + Math.floor(y / CELL);
    if (grid.has(key)) grid.get(key).push(row); else grid.set(key, [row]);
  }
  plot = {svg, at, grid, box, sx, sy, fx, fy, width, height, order: [...at.keys()].filter(r => r < F).sort((a, b) => at.get(a)[0] - at.get(b)[0])};
  clear(host);
  drawOthers(host, svg);
  drawLimits(svg, box, fx, fy, sx, sy);
  drawFront(svg, fx, fy);
  plot.overlay = shape('g', {'aria-hidden': 'true'});
  svg.append(plot.overlay);
  host.append(svg);
  svg.addEventListener('pointermove', event => hoverAt(event));
  svg.addEventListener('pointerleave', () => setHover(null));
  svg.addEventListener('click', event => { const row = nearestRow(event); if (row !== null) pick(row); });
  svg.addEventListener('keydown', scatterKeys);
  drawOverlay();
  if (focused) svg.focus();
}
function scatterText(fx, fy, rows) {
  const best = objectives.map(f => { const r = P.champions[f.name]; return r === undefined ? '' : `best ${pretty(f.name)} ${show(f.values[r], f.unit)} at ${label(r)}`; });
  return `${pretty(fy.name)} against ${pretty(fx.name)}: ${rows.length} points, ${F} on the front. ${best.filter(Boolean).join(', ')}. ` +
    (P.knee !== null ? `Knee ${label(P.knee)}. ` : '') + 'Arrow keys walk along the front, Enter chooses, Escape leaves.';
}
function drawAxes(svg, box, sx, sy, fx, fy, logX, logY, width) {
  for (const t of sx.ticks) {
    const x = sx(t);
    if (x < box.left || x > box.right) continue;
    svg.append(shape('line', {class: 'grid', x1: x, x2: x, y1: box.top, y2: box.bottom}), shape('text', {class: 'soft', x, y: box.bottom + 17, 'text-anchor': 'middle'}, tickText(t, fx)));
  }
  for (const t of sy.ticks) {
    const y = sy(t);
    if (y < box.top || y > box.bottom) continue;
    svg.append(shape('line', {class: 'grid', x1: box.left, x2: box.right, y1: y, y2: y}), shape('text', {class: 'soft', x: box.left - 7, y: y + 4, 'text-anchor': 'end'}, tickText(t, fy)));
  }
  svg.append(shape('path', {class: 'axis', d: `M${box.left} ${box.top}V${box.bottom}H${box.right}`}));
  const right = (fx.better === 'lower' ? ' ← better' : fx.better ? ' → better' : '') + (logX ? ', log' : '');
  svg.append(shape('text', {x: (box.left + box.right) / 2, y: box.bottom + 38, 'text-anchor': 'middle'}, axisTitle(fx) + right));
  const up = arrow(fy).replace('↓', '←').replace('↑', '→') + (logY ? ', log' : '');
  svg.append(shape('text', {transform: `translate(13 ${(box.top + box.bottom) / 2}) rotate(-90)`, 'text-anchor': 'middle'}, axisTitle(fy) + up));
}
function drawOthers(host, svg) {
  const good = [], bad = [];
  for (const row of plot.at.keys()) if (row >= F && row !== P.baseline) (status[row] === 'ok' ? good : bad).push(row);
  const front = F > SVG_MARKS;
  if (good.length + bad.length + F <= SVG_MARKS) {
    const dots = (list, tail) => list.map(r => { const [x, y] = plot.at.get(r); return `M${x.toFixed(1)} ${y.toFixed(1)}${tail}`; }).join('');
    for (const [keep, name] of [[true, ''], [false, ' off']]) {
      const some = good.filter(r => passes(r) === keep && !unknown.has(r)), apart = good.filter(r => passes(r) === keep && unknown.has(r));
      if (some.length) svg.append(shape('path', {class: 'others' + name, d: dots(some, 'h0')}));
      if (apart.length) svg.append(shape('path', {class: 'apart' + name, d: dots(apart, 'm-2 0a2 2 0 1 0 4 0a2 2 0 1 0 -4 0')}));
    }
    if (bad.length) svg.append(shape('path', {class: 'bad', d: dots(bad, 'm-2.5-2.5l5 5m-5 0l5-5')}));
    return;
  }
  const ratio = window.devicePixelRatio || 1, style = getComputedStyle(document.documentElement);
  const canvas = make('canvas', {width: plot.width * ratio, height: plot.height * ratio, style: `width:${plot.width}px;height:${plot.height}px`, 'aria-hidden': 'true'});
  const pen = canvas.getContext('2d'), size = good.length > 5000 ? 2 : 3;
  pen.scale(ratio, ratio);
  const paint = (list, color, r) => {
    pen.fillStyle = color;
    for (const row of list) {
      const [x, y] = plot.at.get(row);
      pen.globalAlpha = passes(row) ? (color === style.getPropertyValue('--faint') ? 0.38 : 0.8) : 0.06;
      if (unknown.has(row)) { pen.strokeStyle = color; pen.strokeRect(x - r / 2, y - r / 2, r, r); } else pen.fillRect(x - r / 2, y - r / 2, r, r);
    }
  };
  paint(bad, style.getPropertyValue('--limit'), 2);
  paint(good, style.getPropertyValue('--faint'), size);
  if (front) paint(frontRows.filter(r => plot.at.has(r)), style.getPropertyValue('--front'), 4);
  host.append(canvas);
}
function drawLimits(svg, box, fx, fy, sx, sy) {
  for (const c of P.constraints) {
    const text = c.text || `${c.metric} ${c.op} ${show(c.limit, c.unit)}`;
    if (c.metric === fx.name) {
      const x = sx(c.limit);
      if (x >= box.left && x <= box.right) svg.append(shape('line', {class: 'limit', x1: x, x2: x, y1: box.top, y2: box.bottom}),
        shape('text', {class: 'limit-text halo', x: x > box.right - 150 ? x - 5 : x + 5, y: box.bottom - 8, 'text-anchor': x > box.right - 150 ? 'end' : 'start'}, text));
    }
    if (c.metric === fy.name) {
      const y = sy(c.limit);
      if (y >= box.top && y <= box.bottom) svg.append(shape('line', {class: 'limit', x1: box.left, x2: box.right, y1: y, y2: y}),
        shape('text', {class: 'limit-text halo', x: box.right - 6, y: y < box.top + 20 ? y + 14 : y - 5, 'text-anchor': 'end'}, text));
    }
  }
}
function drawFront(svg, fx, fy) {
  const rows = plot.order.filter(r => !unknown.has(r));
  if (fx.better && fy.better && fx !== fy && P.runs.length === 1) {  // the front of this pair alone, as a staircase
    const a = fx.better === 'lower' ? 1 : -1, b = fy.better === 'lower' ? 1 : -1;
    let best = Infinity, path = '', last = 0;
    for (const r of rows.slice().sort((p, q) => a * (fx.values[p] - fx.values[q]) || b * (fy.values[p] - fy.values[q]))) {
      if (b * fy.values[r] >= best) continue;
      const [x, y] = plot.at.get(r);
      path += path ? `L${x.toFixed(1)} ${last.toFixed(1)}L${x.toFixed(1)} ${y.toFixed(1)}` : `M${x.toFixed(1)} ${y.toFixed(1)}`;
      last = y; best = b * fy.values[r];
    }
    svg.append(shape('path', {class: 'stair', d: path}));
  }
  const group = shape('g', {id: 'front-marks'});
  if (F <= SVG_MARKS) for (const r of plot.order) {
    const [x, y] = plot.at.get(r);
    const kind = 'front' + (unknown.has(r) ? ' hollow' : ['', ' alt', ' alt2', ' alt3'][run[r] % 4]) + (passes(r) ? '' : ' off');
    group.append(run[r] % 2 ? shape('path', {class: kind, d: square(x, y, 4)}) : shape('circle', {class: kind, cx: x.toFixed(1), cy: y.toFixed(1), r: F > 300 ? 3.4 : 4.6}));
  }
  svg.append(group);
  const named = [];
  if (P.baseline !== null && plot.at.has(P.baseline)) { svg.append(shape('path', {class: 'base', d: diamond(...plot.at.get(P.baseline), 8)})); named.push([P.baseline, 'baseline']); }
  if (P.knee !== null && plot.at.has(P.knee)) { svg.append(shape('path', {class: 'knee', d: star(...plot.at.get(P.knee), 9)})); named.push([P.knee, 'knee']); }
  for (const [row, names] of championOf) if (plot.at.has(row)) named.push([row, names.map(n => 'best ' + pretty(n)).join(', ')]);
  placeLabels(svg, named);
}
// Labels beside their points, moved up or down until they hit no other label.
function placeLabels(svg, named) {
  const boxes = [], together = new Map();
  for (const [row, text] of named) together.set(row, together.has(row) ? together.get(row) + ', ' + text : text);
  for (const [row, text] of together) {
    const [x, y] = plot.at.get(row), w = text.length * 6.2 + 6, left = x + w + 12 > plot.box.right;
    const start = left ? x - 11 - w : x + 11;
    let best = y + 4;
    for (const shift of [0, -15, 15, -30, 30, -45, 45, -60, 60]) {
      const top = y + 4 + shift;
      if (top < plot.box.top + 10 || top > plot.box.bottom - 2) continue;
      if (boxes.every(b => start + w < b[0] || start > b[0] + b[2] || Math.abs(top - b[1]) > 14)) { best = top; break; }
    }
    boxes.push([start, best, w]);
    svg.append(shape('text', {class: 'halo', x: left ? x - 11 : x + 11, y: best, 'text-anchor': left ? 'end' : 'start'}, text));
  }
}
function drawOverlay() {
  if (!plot) return;
  clear(plot.overlay);
  for (const [row, name] of [[S.picked, 'pick'], [S.hover, 'hover']]) {
    if (row === null || !plot.at.has(row)) continue;
    const [x, y] = plot.at.get(row);
    const whisker = (f, scale, horizontal) => {
      if (!low[f.name] || row >= F || low[f.name][row] === null) return;
      const range = horizontal ? [plot.box.left, plot.box.right] : [plot.box.top, plot.box.bottom];
      const inside = v => Math.min(Math.max(scale(v), range[0]), range[1]);
      const a = inside(low[f.name][row]), b = inside(high[f.name][row]);
      if (!isFinite(a) || !isFinite(b)) return;
      plot.overlay.append(shape('path', {class: 'whisker', d: horizontal ? `M${a} ${y - 4}v8m0-4H${b}m0-4v8` : `M${x - 4} ${a}h8m-4 0V${b}m-4 0h8`}));
    };
    whisker(plot.fx, plot.sx, true);
    whisker(plot.fy, plot.sy, false);
    plot.overlay.append(shape('circle', {class: name, cx: x, cy: y, r: name === 'pick' ? 10 : 7.5}));
  }
}
function nearestRow(event) {
  const bounds = plot.svg.getBoundingClientRect(), x = event.clientX - bounds.left, y = event.clientY - bounds.top;
  const cx = Math.floor(x / CELL), cy = Math.floor(y / CELL);
  let best = null, distance = 18 * 18;
  for (let i = cx - 1; i <= cx + 1; i++) for (let j = cy - 1; j <= cy + 1; j++) for (const row of plot.grid.get(i + ',' + j) || []) {
    const [a, b] = plot.at.get(row), d = ((a - x) ** 2 + (b - y) ** 2) * (row < F ? 0.25 : 1) + (passes(row) ? 0 : 60);
    if (d < distance) { distance = d; best = row; }
  }
  return best;
}
function hoverAt(event) {
  const row = nearestRow(event);
  plot.svg.style.cursor = row === null ? '' : 'pointer';
  setHover(row, event.clientX, event.clientY);
}
function setHover(row, x, y) {
  const tip = $('tip');
  if (row !== S.hover) {
    S.hover = row;
    drawOverlay();
    markStrand();
    if (row !== null) clear(tip).append(...configuration(row, true));
  }
  tip.hidden = row === null;
  if (row === null) return;
  placeTip(tip, x, y);
}
function scatterKeys(event) {
  const order = plot.order.filter(passes), step = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1}[event.key];
  if (step && order.length) {
    event.preventDefault();
    const now = order.indexOf(S.hover ?? S.picked), next = order[now < 0 ? (step > 0 ? 0 : order.length - 1) : Math.min(Math.max(now + step, 0), order.length - 1)];
    const bounds = plot.svg.getBoundingClientRect(), [x, y] = plot.at.get(next);
    setHover(next, bounds.left + x, bounds.top + y);
  } else if (event.key === 'Enter' && S.hover !== null) { event.preventDefault(); pick(S.hover); }
  else if (event.key === 'Escape') setHover(null);
}
