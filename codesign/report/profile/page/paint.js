// The canvas: each lane costs at most a bisection per pixel, however many events it has.
const HEAD = 17, LANE = 15, GAP = 7, AXIS = 22;
const KINDS = ['operator', 'launch', 'call', 'range', 'kernel', 'communication', 'copy'];
const KIND_TITLES = ['operator', 'launch call', 'other call', 'named range', 'kernel', 'communication kernel', 'copy or set'];
const V = {a: 0, b: 1, low: 0, high: 1, width: 0, height: 0, ratio: 1, hover: -1, picked: -1, found: null, foundBefore: null, waiting: false};
const KIND = P.timeline ? P.timeline.kinds : [], NAME = P.timeline ? P.timeline.names : [], SHORT = [], WIDE = [];
const PRINT = matchMedia('print');
let D = null, INK = null;  // the events are unpacked once the head of the page is up
function mix(a, b, share) { return 'rgb(' + a.map((v, i) => Math.round(v * share + b[i] * (1 - share))).join(',') + ')'; }
function readInk() {
  const style = getComputedStyle(document.documentElement);
  const read = name => { const t = style.getPropertyValue('--' + name).trim(), h = t.length === 4 ? '#' + [...t.slice(1)].map(c => c + c).join('') : t; return [1, 3, 5].map(i => parseInt(h.slice(i, i + 2), 16)); };
  const bg = read('bg'), level = [0.16, 0.4, 0.6, 0.8, 1];
  INK = {bg: mix(bg, bg, 1), fg: mix(read('fg'), bg, 1), soft: mix(read('soft'), bg, 1), line: mix(read('line'), bg, 1), panel: mix(read('panel'), bg, 1), pick: mix(read('pick'), bg, 1), wire: mix(read('k-launch'), bg, 0.55), bold: mix(read('k-launch'), bg, 1)};
  INK.kind = KINDS.map(k => level.map(share => mix(read('k-' + k), bg, share)));
  INK.text = KINDS.map(k => { const [r, g, b] = read('k-' + k); return r * 0.299 + g * 0.587 + b * 0.114 > 140 ? '#000' : '#fff'; });
}
const shortName = id => SHORT[id] ?? (SHORT[id] = cut(brief(NAME[id]), 200));
function exact(ns) {
  const size = Math.abs(ns), [unit, scale, places] = size < 1e3 ? ['ns', 1, 0] : size < 1e6 ? ['µs', 1e3, 3] : size < 1e9 ? ['ms', 1e6, 6] : ['s', 1e9, 9];
  return grouped((ns / scale).toFixed(places)) + ' ' + unit;
}
// Decimals that tell ticks apart: steps of 0.25 take one more than steps of 0.2.
function decimals(step) {
  let places = 0;
  for (let s = step; places < 9 && (s < 0.5 || Math.abs(s - Math.round(s)) > 1e-3 * s); s *= 10) places++;
  return places;
}
function tickTime(ns, step) {
  const [unit, scale] = step < 1e3 ? (V.b < 1e3 ? ['ns', 1] : ['µs', 1e3]) : step < 1e6 ? (V.b < 1e6 ? ['µs', 1e3] : ['ms', 1e6]) : step < 1e9 && V.b < 1e10 ? ['ms', 1e6] : ['s', 1e9];
  return grouped((ns / scale).toFixed(decimals(step / scale))) + ' ' + unit;
}
function layRows() {
  let y = AXIS;
  for (const row of D.rows) { row.y = y; row.height = HEAD + row.lanes.length * LANE + GAP; y += row.height; }
  return y;
}
const laneTop = lane => lane.row.y + HEAD + lane.depth * LANE - V.scroll;
function fitCanvas() {
  const host = $('timeline-plot'), total = layRows();
  V.width = host.clientWidth; V.height = Math.min(total, Math.max(240, Math.min(620, Math.round(innerHeight * 0.7)))); V.ratio = devicePixelRatio || 1;
  host.style.height = V.height + 2 + 'px';
  $('stage').style.height = V.height + 'px';
  $('filler').style.height = Math.max(0, total - V.height) + 'px';
  V.width = host.clientWidth;
  for (const canvas of [$('events'), $('marks')]) {
    canvas.width = Math.round(V.width * V.ratio); canvas.height = Math.round(V.height * V.ratio);
    canvas.style.width = V.width + 'px'; canvas.style.height = V.height + 'px';
  }
}
function invalidate() { if (!V.waiting) { V.waiting = true; requestAnimationFrame(redraw); } }
function redraw() {
  V.waiting = false;
  const began = performance.now();
  paintEvents();
  paintMarks();
  performance.measure('redraw', {start: began, end: performance.now()});
  if (++V.frames % 500 === 0) performance.clearMeasures('redraw');
}
function paintEvents() {
  const ctx = V.ctx || (V.ctx = $('events').getContext('2d', {alpha: false})), r = V.ratio, W = $('events').width;
  V.scroll = $('timeline-plot').scrollTop;
  ctx.fillStyle = INK.bg; ctx.fillRect(0, 0, W, $('events').height);
  paintAxis(ctx, r);
  ctx.save(); ctx.beginPath(); ctx.rect(0, AXIS * r, W, V.height * r); ctx.clip();
  ctx.textBaseline = 'middle';
  for (const row of D.rows) {
    if (row.y + row.height - V.scroll < AXIS || row.y - V.scroll > V.height) continue;
    ctx.fillStyle = INK.panel; ctx.fillRect(0, (row.y - V.scroll) * r, W, (HEAD - 2) * r);
    ctx.fillStyle = INK.soft; ctx.font = `${11.5 * r}px system-ui,sans-serif`;
    ctx.fillText(row.label, 6 * r, (row.y - V.scroll + (HEAD - 2) / 2 + 0.5) * r);
    ctx.font = `${11 * r}px system-ui,sans-serif`;
    for (const lane of row.lanes) { const y = laneTop(lane); if (y + LANE > AXIS && y < V.height) paintLane(ctx, lane, y, W, r); }
  }
  paintLines(ctx, r);
  ctx.restore();
}
function paintAxis(ctx, r) {
  const ticks = niceTicks(V.a, V.b, Math.max(2, Math.floor(V.width / 130))), step = ticks.length > 1 ? ticks[1] - ticks[0] : 1;
  ctx.font = `${11 * r}px system-ui,sans-serif`; ctx.textBaseline = 'alphabetic';
  for (const t of ticks) {
    const x = (t - V.a) / (V.b - V.a) * V.width;
    ctx.fillStyle = INK.line; ctx.fillRect(Math.round(x * r), 0, 1, V.height * r);
    const text = tickTime(t, step);
    ctx.fillStyle = INK.soft; if ((x + 4) * r + ctx.measureText(text).width < V.width * r) ctx.fillText(text, (x + 4) * r, 14 * r);
  }
}
function paintLane(ctx, lane, y, W, r) {
  const {S, E, ID, BUSY} = D, a = V.a, b = V.b, k = W / (b - a), top = Math.round(y * r), high = Math.round((LANE - 2) * r);
  let i = firstAbove(E, a, lane.from, lane.to), runX = 0, runEnd = -1, ink = '';
  const flush = () => { if (runEnd > runX) { ctx.fillStyle = ink; ctx.fillRect(runX, top, runEnd - runX, high); } };
  while (i < lane.to && S[i] < b) {
    const x0 = (S[i] - a) * k, x1 = (E[i] - a) * k;
    if (x1 - x0 >= 1.5) {  // wide enough to stand alone
      const left = Math.max(-2, x0), right = Math.min(W + 2, x1), kind = KIND[ID[i]], shown = V.found && !V.found[i] ? 0 : 4;
      flush(); runEnd = -1;
      ctx.fillStyle = INK.kind[kind][shown];
      ctx.fillRect(left, top, Math.max(1, right - left - (right - left > 4 ? 1 : 0.3)), high);
      if (right - left > 34 * r && shown) label(ctx, i, Math.max(0, left), right, top + high / 2, kind, r);
      i++;
      continue;
    }
    const column = Math.floor(x0), edge = a + (column + 1) / k;  // all that starts in this pixel is one mark, as dark as the pixel is busy
    let j = firstFrom(S, edge, i, lane.to);
    if (j === i) j = i + 1;
    if (j - 1 > i && (E[j - 1] - S[j - 1]) * k >= 1.5) j--;
    const busy = (BUSY[j] - BUSY[i]) * k;
    const hit = V.found !== null && V.foundBefore[j] > V.foundBefore[i], level = V.found ? (hit ? 4 : 0) : busy > 0.75 ? 4 : busy > 0.5 ? 3 : busy > 0.25 ? 2 : 1;
    let lead = hit ? V.found.indexOf(1, i) : i;  // whose colour it takes: one that is looked for, else the longest of a few
    if (!hit) for (let other = i + 1, by = Math.max(1, (j - i) >> 3); other < j; other += by) if (E[other] - S[other] > E[lead] - S[lead]) lead = other;
    const now = INK.kind[KIND[ID[lead]]][level];
    if (now !== ink || column > runEnd) { flush(); runX = column; ink = now; }
    runEnd = column + 1;
    i = j;
  }
  flush();
}
function label(ctx, i, left, right, middle, kind, r) {
  const id = D.ID[i], text = shortName(id), wide = WIDE[id] ?? (WIDE[id] = ctx.measureText(text).width / r), share = (right - left - 8 * r) / r / wide;
  const most = share < 1 ? Math.floor(text.length * share) - 1 : text.length;
  if (most < Math.min(3, text.length)) return;
  ctx.fillStyle = INK.text[kind];
  ctx.fillText(cut(text, most), left + 4 * r, middle + r);
}
const xOf = time => (time - V.a) / (V.b - V.a) * V.width * V.ratio;
function wire(ctx, event) {
  const launch = D.LAUNCH[event], r = V.ratio;
  if (launch < 0) return;
  ctx.moveTo(xOf(D.S[launch]), (laneTop(laneOf(launch)) + LANE - 2) * r);
  ctx.lineTo(xOf(D.S[event]), laneTop(laneOf(event)) * r);
}
// Lines from launches to kernels, where few enough are in view to be told apart.
function paintLines(ctx, r) {
  const seen = [];
  let many = 0;
  for (const lane of D.lanes) {
    if (!lane.row.device) continue;
    const from = firstAbove(D.E, V.a, lane.from, lane.to), to = firstFrom(D.S, V.b, from, lane.to);
    many += to - from;
    seen.push([from, to]);
  }
  if (many > V.width / 8) return;
  ctx.strokeStyle = INK.wire; ctx.lineWidth = r; ctx.beginPath();
  for (const [from, to] of seen) for (let i = from; i < to; i++) if (!V.found || V.found[i]) wire(ctx, i);
  ctx.stroke();
}
// On paper what is cleared would cover what lies below, so there the marks go onto the events.
function paintMarks() {
  const canvas = $('marks'), ctx = PRINT.matches ? V.ctx : canvas.getContext('2d'), r = V.ratio;
  if (!PRINT.matches) ctx.clearRect(0, 0, canvas.width, canvas.height);
  ctx.save(); ctx.beginPath(); ctx.rect(0, AXIS * r, canvas.width, canvas.height); ctx.clip();
  for (const event of [V.picked, V.hover]) {
    if (event < 0) continue;
    ctx.strokeStyle = INK.bold; ctx.lineWidth = 2 * r; ctx.beginPath();
    wire(ctx, event);
    if (isCall(event)) for (const child of startedBy(event)) wire(ctx, child);
    ctx.stroke();
    const x = xOf(D.S[event]), w = Math.max(3 * r, xOf(D.E[event]) - x), left = Math.max(-4, x);
    ctx.strokeStyle = INK.pick; ctx.strokeRect(left, laneTop(laneOf(event)) * r - r, Math.min(canvas.width + 8, x + w) - left, LANE * r);
  }
  ctx.restore();
  const bar = $('window').firstElementChild, whole = V.high - V.low;
  bar.style.marginLeft = (V.a - V.low) / whole * 100 + '%';
  bar.style.width = Math.max(0.5, (V.b - V.a) / whole * 100) + '%';
}
const isCall = event => KIND[D.ID[event]] === 1 || KIND[D.ID[event]] === 2;
function startedBy(launch) {
  const found = [];
  for (let i = D.LAUNCH.indexOf(launch); i >= 0 && found.length < 2000; i = D.LAUNCH.indexOf(launch, i + 1)) found.push(i);
  return found;
}
