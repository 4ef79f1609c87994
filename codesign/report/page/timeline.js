// What the chosen point does over time: areas stacked up against the baseline, a curve of another unit above them.
const HOUR = 3600e3;
// The time of a step where the first is known as an hour in UTC, else its number.
function stepName(t, i) {
  const start = /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(t.start) && t.step === 'h' ? Date.parse(t.start) : NaN;
  return isNaN(start) ? `${t.step} ${i}` : new Date(start + i * HOUR).toISOString().slice(0, 16).replace('T', ' ') + ' UTC';
}
function drawTimelines(row) {
  const any = Object.values(P.details).some(d => (d[3] || []).length), host = $('timeline-body');
  $('timeline').hidden = !any;
  if (!any) return;
  const list = row === null ? [] : detailsOf(row).timelines;
  clear(host);
  $('timeline-h').textContent = row === null ? 'Over time' : `${label(row)} over time`;
  if (!list.length) host.append(make('p', {class: 'hint'}, row === null ? 'Choose a point.' : 'The course of this point is not in this page: the files of the run may have it.'));
  for (const t of list) drawTimeline(host, t);
}
function drawTimeline(host, t) {
  const steps = t.curve.values.length, width = Math.max(300, host.clientWidth), height = 400;
  const box = {left: 64, right: width - 14, top: 128, bottom: height - 40}, above = {top: 22, bottom: 98};
  const x = i => box.left + i / steps * (box.right - box.left);
  const sums = key => t.curve.values.map((_, i) => t.areas.reduce((a, area) => a + (area[key][i] || 0), 0));
  const total = sums('values'), before = t.areas.every(a => a.baseline.length) ? sums('baseline') : null;
  const most = Math.max(...total, ...(before || [0]), t.limit || 0) * 1.06 || 1, y = v => box.bottom - v / most * (box.bottom - box.top);
  const sc = scaleOf(t.curve.values, above.bottom, above.top, false, 3);
  const svg = shape('svg', {class: 'chart', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', tabindex: 0, 'aria-label': timelineText(t, total, before)});
  timelineAxes(svg, t, box, above, x, y, sc, most, steps);
  const line = (values, at) => values.map((v, i) => `${i ? 'L' : 'M'}${x(i).toFixed(1)} ${at(v).toFixed(1)}H${x(i + 1).toFixed(1)}`).join('');
  let floor = t.curve.values.map(() => 0);
  t.areas.forEach((area, k) => {
    const top = floor.map((v, i) => v + area.values[i]);
    const back = floor.map((v, i) => [v, i]).reverse().map(([v, i]) => `L${x(i + 1).toFixed(1)} ${y(v).toFixed(1)}H${x(i).toFixed(1)}`).join('');
    svg.append(shape('path', {style: `fill:${COLOURS[k % 10]};stroke:var(--bg);stroke-width:.7`, d: line(top, y) + back + 'Z'}));
    floor = top;
  });
  if (before) svg.append(shape('path', {class: 'was', d: line(before, y)}));
  if (t.limit !== null) svg.append(shape('line', {class: 'limit', x1: box.left, x2: box.right, y1: y(t.limit), y2: y(t.limit)}));
  svg.append(shape('path', {class: 'strand', style: 'opacity:1;stroke-width:2;stroke:var(--fg)', d: line(t.curve.values, sc)}));
  const band = shape('rect', {class: 'band', y: above.top, width: Math.max(1, x(1) - x(0)), height: box.bottom - above.top, visibility: 'hidden'});
  svg.append(band);
  timelineHover(svg, t, band, {box, x, steps, total, before});
  const swatch = (text, style) => make('li', {}, make('span', {class: 'swatch', style}), text);
  host.append(make('div', {class: 'plot wide'}, svg), make('ul', {class: 'legend'}, t.areas.map((a, k) => swatch(a.label, `background:${COLOURS[k % 10]}`)),
    before ? swatch('all, without the plan', 'height:0;border-top:2px dashed var(--fg);border-radius:0') : null, t.limit !== null ? swatch(`limit ${digits(t.limit)} ${t.unit}`, 'height:0;border-top:2px dashed var(--limit);border-radius:0') : null),
    make('div', {class: 'bar'}, make('button', {type: 'button', onclick: () => saveFigure(svg, 'timeline.svg')}, 'Save SVG')));
}
function timelineText(t, total, before) {
  const sum = values => values.reduce((a, v) => a + v, 0);
  return `${t.title}, ${total.length} steps of 1 ${t.step}: sum ${digits(sum(total))} ${t.unit}·${t.step}` + (before ? `, ${digits(sum(before))} without the plan` : '') + `; ${t.curve.label} from ${digits(Math.min(...t.curve.values))} to ${digits(Math.max(...t.curve.values))} ${t.curveUnit}. Arrow keys read the steps.`;
}
function timelineAxes(svg, t, box, above, x, y, sc, most, steps) {
  const every = [1, 2, 3, 4, 6, 12, 24, 48, 168, 336, 720, 1440].find(n => steps / n <= (box.right - box.left) / 55) || steps;
  for (let i = 0; i <= steps; i += every) svg.append(shape('line', {class: 'grid', x1: x(i), x2: x(i), y1: above.top, y2: box.bottom}), shape('text', {class: 'soft', x: x(i), y: box.bottom + 16, 'text-anchor': 'middle'}, String(i)));
  for (const [ticks, at, low, high] of [[niceTicks(0, most, 5), y, box.top, box.bottom], [sc.ticks, sc, above.top, above.bottom]])
    for (const v of ticks) if (at(v) >= low - 1 && at(v) <= high + 1) svg.append(shape('line', {class: 'grid', x1: box.left, x2: box.right, y1: at(v), y2: at(v)}), shape('text', {class: 'soft', x: box.left - 6, y: at(v) + 4, 'text-anchor': 'end'}, digits(v, 3)));
  svg.append(shape('path', {class: 'axis', d: `M${box.left} ${box.top}V${box.bottom}H${box.right}M${box.left} ${above.top}V${above.bottom}H${box.right}`}));
  svg.append(shape('text', {x: box.left, y: 14}, `${t.curve.label} [${t.curveUnit}]`), shape('text', {x: box.left, y: box.top - 8}, `${t.title} [${t.unit}]`));
  const start = stepName(t, 0);
  svg.append(shape('text', {x: (box.left + box.right) / 2, y: box.bottom + 34, 'text-anchor': 'middle'}, t.step === 'h' ? 'hour' + (start.endsWith('UTC') ? `, from ${start}` : '') : t.step));
}
function timelineHover(svg, t, band, {box, x, steps, total, before}) {
  let at = -1;
  const tip = $('tip'), moved = (now, was) => Math.abs(now - was) > 5e-4 * Math.max(1e-9, was) ? ` (${signed((now / was - 1) * 100)})` : '';
  const hide = () => { at = -1; tip.hidden = true; band.setAttribute('visibility', 'hidden'); };
  const see = (i, left, top) => {
    if (i !== at) {
      at = i;
      band.setAttribute('x', x(i));
      band.setAttribute('visibility', 'visible');
      clear(tip).append(make('strong', {}, stepName(t, i)), terms([[t.curve.label, `${digits(t.curve.values[i])} ${t.curveUnit}`],
        ...t.areas.slice().reverse().map(a => [a.label, `${digits(a.values[i])} ${t.unit}` + (a.baseline.length ? moved(a.values[i], a.baseline[i]) : '')]),
        ['all', `${digits(total[i])} ${t.unit}` + (before ? moved(total[i], before[i]) : '')]]));
    }
    tip.hidden = false;
    placeTip(tip, left, top);
  };
  svg.addEventListener('pointermove', event => {
    const bounds = svg.getBoundingClientRect(), i = Math.floor((event.clientX - bounds.left - box.left) / (box.right - box.left) * steps);
    if (i < 0 || i >= steps) hide(); else see(i, event.clientX, event.clientY);
  });
  svg.addEventListener('pointerleave', hide);
  svg.addEventListener('blur', hide);
  svg.addEventListener('keydown', event => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (event.key === 'Escape') hide();
    if (!step) return;
    event.preventDefault();
    const i = Math.min(Math.max(at < 0 ? (step > 0 ? 0 : steps - 1) : at + step, 0), steps - 1), bounds = svg.getBoundingClientRect();
    see(i, bounds.left + x(i), bounds.top + box.top);
  });
}
