// Parts of the chosen point under the roofs of the machine: rate over intensity, both logarithmic; hollow is the baseline.
function drawRooflines(row) {
  const any = Object.values(P.details).some(d => (d[4] || []).length), host = $('roofline-body');
  $('roofline').hidden = !any;
  if (!any) return;
  const list = row === null ? [] : detailsOf(row).rooflines;
  clear(host);
  $('roofline-h').textContent = row === null ? 'Roofline' : `Roofline of ${label(row)}`;
  if (!list.length) host.append(make('p', {class: 'hint'}, row === null ? 'Choose a point.' : 'No roofline is stored for this point.'));
  for (const r of list) drawRoofline(host, r);
}
function drawRoofline(host, r) {
  const width = Math.max(300, host.clientWidth), height = 360, box = {left: 76, right: width - 16, top: 16, bottom: height - 44};
  const before = r.spots.map(s => s.before).filter(Boolean), ridge = r.slope ? r.peak / r.slope : null;
  const xs = r.spots.map(s => s.x).concat(before.map(b => b[0]), ridge ? [ridge / 2, ridge * 2] : []), ys = r.spots.map(s => s.y).concat(before.map(b => b[1]), [r.peak * 1.3]);
  const sx = scaleOf(xs, box.left, box.right, true, Math.floor(width / 110)), sy = scaleOf(ys, box.bottom, box.top, true, 5);
  const fx = {name: 'intensity', unit: r.xUnit, per: '', better: ''}, fy = {name: 'rate', unit: r.yUnit, per: '', better: 'higher'};
  const svg = shape('svg', {class: 'chart', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `${r.title}: ` + r.spots.map(s => spotText(s, r)).join('; ')});
  drawAxes(svg, box, sx, sy, fx, fy, true, true, width);
  const least = Math.min(...xs), most = Math.max(...xs), roof = x => r.slope ? Math.min(r.peak, r.slope * x) : r.peak, low = Math.min(...ys);
  const from = r.slope ? Math.max(least, low / r.slope) : least, bend = ridge && ridge > from && ridge < most ? `L${sx(ridge)} ${sy(r.peak)}` : '';
  svg.append(shape('path', {class: 'limit', style: 'fill:none', d: `M${sx(from)} ${sy(roof(from))}${bend}L${sx(most)} ${sy(roof(most))}`}));
  svg.append(shape('text', {class: 'limit-text halo', x: box.right - 4, y: sy(r.peak) - 6, 'text-anchor': 'end'}, `${show(r.peak, r.yUnit, 3)}, all units at work`));
  if (r.slope && sx(ridge) - box.left > 150) svg.append(shape('text', {class: 'limit-text halo', x: sx(Math.sqrt(from * ridge)) - 8, y: sy(roof(Math.sqrt(from * ridge))) - 8, 'text-anchor': 'end'}, show(r.slope, r.slopeUnit, 3)));
  const size = s => 3 + 14 * Math.sqrt(s.share), named = r.spots.slice().sort((a, b) => b.share - a.share).slice(0, width > 600 ? 6 : 3);
  for (const s of r.spots) if (s.before) svg.append(shape('path', {class: 'strand', style: 'opacity:.25;stroke-width:1', d: `M${sx(s.before[0])} ${sy(s.before[1])}L${sx(s.x)} ${sy(s.y)}`}), shape('circle', {class: 'front hollow', cx: sx(s.before[0]), cy: sy(s.before[1]), r: 3.5}, shape('title', {}, `${s.label}, baseline: ${digits(s.before[0], 3)} ${r.xUnit}, ${show(s.before[1], r.yUnit, 3)}`)));
  const taken = [];
  for (const s of r.spots) svg.append(shape('circle', {class: 'front', cx: sx(s.x), cy: sy(s.y), r: size(s)}, shape('title', {}, spotText(s, r))));
  for (const s of named) {
    const right = sx(s.x) < (box.left + box.right) / 2, x = sx(s.x) + (right ? 1 : -1) * (size(s) + 5);
    let y = sy(s.y) + 4;
    while (taken.some(t => Math.abs(t - y) < 13)) y += 13;
    if (y > box.bottom - 2) continue;
    taken.push(y);
    svg.append(shape('text', {class: 'halo', x, y, 'text-anchor': right ? 'start' : 'end', 'font-size': 11}, cut(s.label, 34)));
  }
  host.append(make('div', {class: 'plot wide'}, svg), make('p', {class: 'hint'}, 'Areas of the dots are shares of the time' + (before.length ? '; hollow dots are the same parts of the baseline.' : '.')),
    make('div', {class: 'bar'}, make('button', {type: 'button', onclick: () => saveFigure(svg, 'roofline.svg')}, 'Save SVG')));
}
const spotText = (s, r) => `${s.label}: ${digits(s.x, 3)} ${r.xUnit}, ${show(s.y, r.yUnit, 3)}, ${(s.share * 100).toFixed(s.share < 0.1 ? 1 : 0)} % of the time, ${s.bound}`;
