// Parallel coordinates over what varies; a brush on an axis filters every view.
const MOST_STRANDS = 1500, MOST_AXES = 8;
let strands = null;
function parallelFields() {
  const rows = S.others ? N : F, keep = f => new Set(f.values.slice(0, Math.max(rows, F))).size > 1;
  // of many parameters those that matter most to the objectives
  const weight = f => Object.values(P.importance).reduce((a, list) => a + ((list.find(e => e.name === f.name) || {}).share || 0), 0);
  const kept = parameters.filter(keep), shown = new Set(kept.length > MOST_AXES ? kept.slice().sort((a, b) => weight(b) - weight(a)).slice(0, MOST_AXES) : kept);
  return [...kept.filter(f => shown.has(f) || S.brushes.has(f.name)), ...objectives.filter(f => varies(f) || objectives.length < 3)];
}
function axisScale(f, top, bottom) {
  if (f.role !== 'parameter' && numeric(f)) {
    const log = wantsLog(f.values), scale = scaleOf(f.values, bottom, top, log, 5);
    return {at: scale, ticks: scale.ticks.filter(t => scale(t) >= top - 1 && scale(t) <= bottom + 1).map(t => [scale(t), tickText(t, f)])};
  }
  const present = [...new Set(f.values.filter(v => v !== null))];
  if (numeric(f) && present.length > 24) {
    const log = wantsLog(f.values), scale = scaleOf(f.values, bottom, top, log, 5);
    return {at: scale, ticks: scale.ticks.map(t => [scale(t), tickText(t, f)])};
  }
  if (numeric(f)) present.sort((a, b) => a - b); else present.sort((a, b) => String(a).localeCompare(String(b), 'en', {numeric: true}));
  const levels = f.values.includes(null) ? [...present, null] : present;
  const place = new Map(levels.map((v, i) => [v, bottom - (i + 0.5) / levels.length * (bottom - top)]));
  const every = Math.ceil(levels.length / 24);
  return {at: v => place.get(v), levels, ticks: levels.filter((_, i) => i % every === 0).map(v => [place.get(v), v === null ? 'inactive' : typeof v === 'number' ? tickText(v, f) : String(v)])};
}
function drawParallel() {
  const host = $('parallel-plot'), list = parallelFields(), gap = 112, height = 360, top = 56, bottom = height - 18;
  const width = Math.max(WIDTH['parallel-plot'], 130 + (list.length - 1) * gap), left = 60, step = list.length > 1 ? (width - left - 70) / (list.length - 1) : 0;
  const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.axis : null;
  const axes = list.map((f, i) => ({f, x: left + i * step, ...axisScale(f, top, bottom)}));
  const svg = shape('svg', {width, height, viewBox: `0 0 ${width} ${height}`, role: 'group', 'aria-label': 'Parallel coordinates: ' + list.map(f => pretty(f.name)).join(', ')});
  const path = row => {
    let d = '', pen = 'M';
    for (const axis of axes) {
      const y = axis.at(axis.f.values[row]);
      if (y === undefined || Number.isNaN(y)) { pen = 'M'; continue; }
      d += pen + axis.x.toFixed(1) + ' ' + y.toFixed(1); pen = 'L';
    }
    return d;
  };
  let faint = '';
  if (S.others) {
    const others = [];
    for (let row = F; row < N; row++) if (status[row] === 'ok' && passes(row)) others.push(row);
    const every = Math.max(1, Math.ceil(others.length / MOST_STRANDS));
    for (let i = 0; i < others.length; i += every) faint += path(others[i]);
  }
  svg.append(shape('path', {class: 'strands', d: faint}));
  const shown = frontRows.filter(passes), every = Math.max(1, Math.ceil(shown.length / MOST_STRANDS));
  const group = shape('g', {id: 'strands', style: shown.length > 150 ? 'opacity:.55' : null});
  strands = new Map();
  shown.forEach((row, i) => {
    if (i % every && row !== P.knee) return;
    const line = shape('path', {class: 'strand', d: path(row), style: unknown.has(row) ? 'stroke-dasharray:3 3' : null});
    strands.set(row, line);
    group.append(line);
  });
  svg.append(group);
  for (const axis of axes) drawAxis(svg, axis, top, bottom);
  clear(host).append(svg);
  strands.path = path;
  strands.top = shape('g', {'aria-hidden': 'true'});
  svg.insertBefore(strands.top, group.nextSibling);
  markStrand();
  if (focused) { const again = host.querySelector(`[data-axis="${CSS.escape(focused)}"]`); if (again) again.focus(); }
}
function drawAxis(svg, axis, top, bottom) {
  const {f, x} = axis, brush = S.brushes.get(f.name);
  const group = shape('g', {tabindex: 0, role: 'slider', 'data-axis': f.name, 'aria-label': `Range of ${pretty(f.name)}`, 'aria-valuemin': 0, 'aria-valuemax': 100,
    'aria-valuenow': brush ? Math.round((bottom - brush.b) / (bottom - top) * 100) : 0, 'aria-valuetext': brush ? brush.text : 'all'});
  group.append(shape('title', {}, axisTitle(f)), shape('line', {class: 'axis', style: 'stroke:var(--soft)', x1: x, x2: x, y1: top, y2: bottom}));
  const name = pretty(f.name), words = name.length > 15 && name.includes(' ') ? [name.slice(0, name.indexOf(' ', name.length / 2 - 4) + 1 || 15).trim(), name.slice(name.indexOf(' ', name.length / 2 - 4) + 1 || 15)] : [name];
  words.slice(0, 2).forEach((w, i) => group.append(shape('text', {x, y: top - 34 + i * 13, 'text-anchor': 'middle', 'font-weight': f.role === 'objective' ? 700 : 400}, cut(w, 18))));
  if (f.better || f.unit) group.append(shape('text', {class: 'soft', x, y: top - 8, 'text-anchor': 'middle', 'font-size': 11}, (f.unit ? `[${f.unit}]` : '') + arrow(f)));
  for (const [y, text] of axis.ticks) group.append(shape('line', {class: 'axis', x1: x - 3, x2: x + 3, y1: y, y2: y}), shape('text', {class: 'halo', x: x + 6, y: y + 4, 'font-size': 11}, cut(text, 15)));
  if (brush) group.append(shape('rect', {class: 'brush', x: x - 8, width: 16, y: brush.a, height: Math.max(2, brush.b - brush.a)}));
  const area = shape('rect', {class: 'brushable', x: x - 16, width: 32, y: top - 4, height: bottom - top + 8});
  let from = null;
  const point = event => { const r = svg.getBoundingClientRect(); return Math.min(Math.max(event.clientY - r.top, top), bottom); };
  area.addEventListener('pointerdown', event => { from = point(event); area.setPointerCapture(event.pointerId); event.preventDefault(); });
  area.addEventListener('pointerup', event => {
    if (from === null) return;
    const to = point(event), a = Math.min(from, to), b = Math.max(from, to);
    from = null;
    if (preview) preview.remove();
    setBrush(axis, b - a < 4 ? null : [a, b]);
  });
  let preview = null;
  area.addEventListener('pointermove', event => {
    if (from === null) return;
    if (preview) preview.remove();
    const to = point(event);
    preview = shape('rect', {class: 'brush', x: x - 8, width: 16, y: Math.min(from, to), height: Math.abs(to - from)});
    group.insertBefore(preview, area);
  });
  group.append(area);
  group.addEventListener('keydown', event => {
    const move = {ArrowUp: -1, ArrowDown: 1}[event.key];
    if (event.key === 'Delete' || event.key === 'Backspace' || event.key === 'Escape') { event.preventDefault(); setBrush(axis, null); }
    if (!move) return;
    event.preventDefault();
    const size = axis.levels ? (bottom - top) / axis.levels.length : (bottom - top) / 20, now = brush ? [brush.a, brush.b] : [top, bottom];
    if (event.shiftKey) now[0] = Math.min(Math.max(now[0] + move * size, top), now[1] - 2); else now[1] = Math.max(Math.min(now[1] + move * size, bottom), now[0] + 2);
    setBrush(axis, now[0] <= top && now[1] >= bottom ? null : now);
  });
  svg.append(group);
}
function setBrush(axis, range) {
  if (range === null) S.brushes.delete(axis.f.name);
  else {
    const [a, b] = range, keeps = v => { const y = axis.at(v); return y !== undefined && y >= a && y <= b; };
    const kept = axis.f.values.filter(v => v !== null && keeps(v)), numbers = kept.length && numeric(axis.f);
    const text = numbers ? `${show(kept.reduce((p, q) => Math.min(p, q)), axis.f.unit)} to ${show(kept.reduce((p, q) => Math.max(p, q)), axis.f.unit)}` : [...new Set(kept)].join(', ') || 'nothing';
    S.brushes.set(axis.f.name, {a, b, keeps, text});
  }
  drawFiltered();
}
function markStrand() {
  if (!strands || !strands.top) return;
  clear(strands.top);
  for (const row of new Set([S.picked, S.hover])) if (row !== null) strands.top.append(shape('path', {class: 'strand picked', d: strands.path(row), style: row === S.picked && S.hover !== null && S.hover !== row ? 'opacity:.5' : null}));
}
