// The sections, in order; one without data stays hidden.
const LEAST_COVERAGE = 0.95;
function unhide(name, draw, ...rest) { $(name).hidden = false; draw(clear($(name + '-body')), ...rest); }
function drawHeader() {
  $('title').textContent = cut(P.title, 200);
  $('summary').textContent = [P.source, ...P.devices].filter(Boolean).map(text => cut(text, 160)).join(' · ');
  const reason = P.verdict && P.reason.startsWith(P.verdict + ': ') ? P.reason.slice(P.verdict.length + 2) : P.reason;
  if (P.verdict || reason) { $('verdict').hidden = false; $('verdict').append(P.verdict ? make('strong', {}, P.verdict) : '', P.verdict && reason ? ': ' : '', reason); }
  if (P.coverage) {
    const C = P.coverage, known = [[C.kernels, 'of the kernels are paired with their launch'], [C.time, 'of the kernel time'], [C.operator_time, 'of the kernel time is linked to an operator']].filter(([share]) => share !== null);
    const low = known.some(([share]) => share < LEAST_COVERAGE);
    $('coverage').hidden = false;
    $('coverage').className = low ? 'warning' : '';
    $('coverage').textContent = (low ? 'Low coverage, read the figures with care: ' : 'Coverage: ') + (known.map(([share, what]) => percent(share) + ' ' + what).join(', ') || 'nothing to attribute') + '. ' + C.sentence;
  }
  if (P.warnings.length) { $('warnings').hidden = false; $('warnings').append(...P.warnings.map(w => make('li', {class: 'warning'}, w))); }
}
const several = (count, one) => `${grouped(count)} ${one}${count === 1 ? '' : 's'}`;
function figure(value, unit) {
  return typeof value !== 'number' || ['s', 'B', ''].includes(unit) || PREFIXED.has(unit) ? show(value, unit) : digits(value) + ' ' + unit;
}
function drawFigures(host) {
  const groups = [...new Set(P.metrics.map(m => m.group))];
  const line = m => make('tr', {}, make('td', {class: 't wrap', title: m.name.length > 160 ? m.name : null}, pretty(cut(m.name, 160)), m.note ? make('span', {class: 'sub'}, m.note) : null), make('td', {class: typeof m.value === 'string' ? 'wrap' : null}, typeof m.value === 'string' ? cut(m.value, 300) : figure(m.value, m.unit), m.low !== null && m.high !== null ? make('span', {class: 'sub'}, `${figure(m.low, m.unit)} – ${figure(m.high, m.unit)}`) : null),
    make('td', {class: 't'}, m.source));
  const heading = g => make('thead', {}, make('tr', {}, make('th', {scope: 'col', class: 't'}, pretty(cut(g, 160)) || 'figure'), make('th', {scope: 'col'}, 'value'), make('th', {scope: 'col', class: 't'}, 'source')));
  const table = g => make('div', {class: 'scroll sheet'}, make('table', {class: 'plain'}, make('caption', {class: 'skip'}, g ? 'Key figures: ' + pretty(cut(g, 160)) : 'Key figures'), heading(g), make('tbody', {}, P.metrics.filter(m => m.group === g).map(line))));
  if (P.metrics.length) host.append(make('div', {class: 'figures'}, groups.map(table)));
  else { $('figures-h').textContent = 'About this profile'; $('facts').open = true; }
  if (P.facts.length) { $('facts').hidden = false; clear($('facts-body')).append(...terms(P.facts).children); }
}
function drawTimeline() {
  const T = P.timeline, button = (text, title, act) => make('button', {type: 'button', title, 'aria-label': title, onclick: act}, text);
  D = layLanes(unpackTimeline(T));
  $('timeline').hidden = false;
  const device = D.rows.some(r => r.device);
  if (!device) $('timeline-h').textContent = 'Timeline';
  $('link-key').hidden = !T.links;
  let last = 0;
  for (const end of D.E) if (end > last) last = end;
  const pad = Math.max(10, last * 0.005);
  Object.assign(V, {low: -pad, high: last + pad, a: -pad, b: last + pad, scroll: 0, frames: 0});
  const field = make('input', {id: 'find', type: 'search', placeholder: 'name', spellcheck: 'false', oninput: () => find(field.value, false), onkeydown: event => { if (event.key === 'Enter') nextFound(); }});
  $('timeline-controls').append(button('+', 'Zoom in', () => zoom(0.5)), button('−', 'Zoom out', () => zoom(2)), button('←', 'Earlier', () => move(-0.4)), button('→', 'Later', () => move(0.4)), button('All', 'Show everything', () => look(V.low, V.high)),
    make('label', {}, 'Find', field), make('button', {type: 'button', id: 'next', hidden: true, 'aria-label': 'Next event found', onclick: nextFound}, 'Next'), make('span', {id: 'found', role: 'status'}));
  const used = [...new Set(KIND)].sort((a, b) => a - b);
  $('timeline-legend').append(...used.map(k => make('li', {}, make('span', {class: 'swatch k-' + KINDS[k], 'aria-hidden': 'true'}), KIND_TITLES[k])));
  readInk(); fitCanvas();
  const note = `${several(T.count, 'event')} over ${seconds(last)}${T.links ? '; lines lead from a launch to what it started on the device' : ''}. Events narrower than a pixel are merged, stronger where busier.${V.height < layRows() ? ` Drag up or down for all ${several(D.rows.length, 'row')}.` : ''}`;
  $('timeline-note').textContent = T.omitted ? note + ` The page carries the longest events with their launches: ${grouped(T.omitted)} shorter ones are left out.` : note;
  $('timeline-note').className = T.omitted ? 'warning' : 'hint';
  $('timeline-text').textContent = `${several(D.rows.filter(r => !r.device).length, 'host thread')} and ${several(D.rows.filter(r => r.device).length, 'device stream')}. ` + D.rows.map(r => `${cut(r.label, 80)}: ${several(r.to - r.from, 'event')}`).join('; ') + '. The tables below hold the same by name.';
  navigate(); redraw();
}
function drawSized() {
  const width = Math.max(280, $('title').parentElement.clientWidth);
  if (P.latency) unhide('latency', drawLatency, Math.min(width, 900));
  if (P.sweep) unhide('sweep', drawSweep, width);
}
// The way past the timeline for keyboards, and what is said where nothing is shown.
function drawEnds() {
  const shown = [...document.querySelectorAll('main > section')].filter(node => !node.hidden), first = shown.find(node => !['figures', 'timeline'].includes(node.id));
  $('nothing').hidden = shown.length > 0;
  $('skip').hidden = !D || !first;
  if (first) { $('skip').href = '#' + first.id; first.tabIndex = -1; }
}
drawHeader();
if (P.metrics.length || P.facts.length) unhide('figures', drawFigures);
// The head is painted before the events are unpacked, what is below the fold after both; printing waits for nothing.
const steps = [() => { if (P.timeline) drawTimeline(); }, drawRest], advance = () => { if (steps.length) steps.shift()(); };
addEventListener('load', () => requestAnimationFrame(() => setTimeout(() => { advance(); setTimeout(advance, 0); }, 0)));
addEventListener('beforeprint', () => { while (steps.length) advance(); });
function drawRest() {
  drawSized();
  if (P.splits.length) unhide('splits', drawSplits);
  if (P.kernels && P.kernels.rows.length) unhide('kernels', drawUses, P.kernels, 'Kernels by name');
  if (P.operators && P.operators.rows.length) unhide('operators', drawUses, P.operators, 'Operators by name');
  if (P.copies.length) unhide('copies', drawCopies);
  if (P.fusion && P.fusion.chains.length) unhide('fusion', drawFusion);
  drawEnds();
  document.body.dataset.ready = 'true';
  performance.mark('ready');
}
let width = document.body.clientWidth, timer = 0;
addEventListener('resize', () => {
  clearTimeout(timer);
  timer = setTimeout(() => { if (D) { fitCanvas(); invalidate(); } if (document.body.clientWidth !== width) { width = document.body.clientWidth; drawSized(); } }, 100);
});
for (const media of [matchMedia('(prefers-color-scheme: dark)'), PRINT]) media.addEventListener('change', () => { if (D) { readInk(); redraw(); } });
