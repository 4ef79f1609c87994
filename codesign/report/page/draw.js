// Small drawing vocabulary: elements by textContent only, scales, ticks.
const $ = name => document.getElementById(name);
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  return fill(node, attributes, children);
}
function shape(tag, attributes = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}
function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? '' : value);
  }
  for (const child of children.flat(Infinity)) if (child !== null && child !== undefined) node.append(child);
  return node;
}
const clear = node => { node.replaceChildren(); return node; };
function terms(pairs) {
  return make('dl', {}, pairs.map(([k, v]) => [make('dt', {}, k), make('dd', {}, v)]));
}
function choice(title, options, value, change) {
  const select = make('select', {onchange: () => change(select.value)},
    options.map(([key, text]) => make('option', {value: key, selected: key === value}, text)));
  return make('label', {}, title, select);
}
function check(title, value, change) {
  const box = make('input', {type: 'checkbox', onchange: () => change(box.checked)});
  box.checked = value;
  return make('label', {}, box, title);
}
function niceTicks(a, b, count) {
  if (!(b > a)) return [a];
  const raw = (b - a) / count, power = Math.pow(10, Math.floor(Math.log10(raw)));
  const step = [1, 2, 2.5, 5, 10].map(m => m * power).find(s => s >= raw * 0.999);
  const ticks = [];
  for (let i = Math.ceil(a / step - 1e-9); i * step <= b + step * 1e-9; i++) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}
function logTicks(a, b, count) {
  const decades = Math.log10(b / a), ticks = [];
  const steps = decades > count ? [1] : decades > 1.5 ? [1, 3] : decades > 0.7 ? [1, 2, 3, 5] : [1, 1.5, 2, 3, 4, 5, 7];
  const skip = Math.max(1, Math.ceil(decades / count));
  for (let e = Math.floor(Math.log10(a)); e <= Math.ceil(Math.log10(b)); e++) {
    if (e % skip) continue;
    for (const s of steps) { const t = Number((s * Math.pow(10, e)).toPrecision(3)); if (t >= a * 0.999 && t <= b * 1.001) ticks.push(t); }
  }
  return ticks.length > 1 ? ticks : niceTicks(a, b, count);
}
// A scale from values to pixels; log where the values ask for it.
function scaleOf(values, from, to, log, count = 6) {
  let a = Infinity, b = -Infinity;
  for (const v of values) if (typeof v === 'number' && (!log || v > 0)) { if (v < a) a = v; if (v > b) b = v; }
  if (a === Infinity) { a = log ? 1 : 0; b = log ? 10 : 1; }
  if (a === b) { const pad = Math.abs(a) * 0.1 || 1; if (log) { a /= 1.3; b *= 1.3; } else { a -= pad; b += pad; } }
  const f = log ? Math.log : x => x;
  const pad = (f(b) - f(a)) * 0.05, A = f(a) - pad, B = f(b) + pad;
  const scale = v => typeof v !== 'number' || (log && v <= 0) ? NaN : from + (f(v) - A) / (B - A) * (to - from);
  scale.ticks = log ? logTicks(Math.exp(A), Math.exp(B), count) : niceTicks(A, B, count);
  return scale;
}
function wantsLog(values) {
  let a = Infinity, b = 0;
  for (const v of values) if (typeof v === 'number') { if (v <= 0) return false; if (v < a) a = v; if (v > b) b = v; }
  return b / a > 15;
}
function star(x, y, r, points = 5) {
  let path = '';
  for (let i = 0; i < points * 2; i++) {
    const radius = i % 2 ? r * 0.45 : r, angle = Math.PI * i / points - Math.PI / 2;
    path += (i ? 'L' : 'M') + (x + radius * Math.cos(angle)).toFixed(1) + ' ' + (y + radius * Math.sin(angle)).toFixed(1);
  }
  return path + 'Z';
}
const diamond = (x, y, r) => `M${x} ${y - r}L${x + r} ${y}L${x} ${y + r}L${x - r} ${y}Z`;
const square = (x, y, r) => `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}Z`;
function copyText(text, button) {
  const done = () => { button.textContent = 'Copied'; setTimeout(() => { button.textContent = 'Copy'; }, 1500); };
  const old = () => {
    const area = make('textarea', {style: 'position:fixed;opacity:0'});
    area.value = text;
    document.body.append(area); area.select();
    try { document.execCommand('copy'); done(); } finally { area.remove(); }
  };
  if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, old); else old();
}
function save(name, type, text) {
  const link = make('a', {href: URL.createObjectURL(new Blob([text], {type})), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 5000);
}
// A figure as a file of its own: styles are written onto the copied elements.
function saveFigure(svg, name) {
  const copy = svg.cloneNode(true), from = [svg, ...svg.querySelectorAll('*')], to = [copy, ...copy.querySelectorAll('*')];
  from.forEach((node, i) => {
    const style = getComputedStyle(node);
    for (const key of ['fill', 'stroke', 'stroke-width', 'stroke-dasharray', 'stroke-linecap', 'opacity', 'font-size', 'font-family', 'paint-order'])
      to[i].style.setProperty(key, style.getPropertyValue(key));
  });
  copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  copy.style.background = getComputedStyle(document.body).backgroundColor;
  save(name, 'image/svg+xml', new XMLSerializer().serializeToString(copy));
}
const cut = (text, most) => text.length > most ? text.slice(0, most - 1) + '…' : text;
// A tip beside the pointer, inside the window.
function placeTip(tip, x, y) {
  const w = tip.offsetWidth, h = tip.offsetHeight;
  tip.style.left = Math.max(6, x + 16 + w > innerWidth ? x - w - 16 : x + 16) + 'px';
  tip.style.top = Math.max(6, Math.min(y + 16, innerHeight - h - 8)) + 'px';
}
