// The sections, in order; one without data stays hidden.
const LEAST_COVERAGE = 0.95;
function unhide(name, draw, ...rest) { $(name).hidden = false; draw(clear($(name + '-body')), ...rest); }
function drawHeader() {
  $('title').textContent = P.title;
  $('summary').textContent = [P.source, ...P.devices].filter(Boolean).join(' · ');
  if (P.verdict || P.reason) { $('verdict').hidden = false; $('verdict').append(P.verdict ? make('strong', {}, P.verdict) : '', P.verdict && P.reason ? ': ' : '', P.reason); }
  if (P.coverage) {
    const C = P.coverage, known = [[C.kernels, 'of the kernels are paired with their launch'], [C.time, 'of the kernel time'], [C.operator_time, 'of the kernel time is linked to an operator']].filter(([share]) => share !== null);
    const low = known.some(([share]) => share < LEAST_COVERAGE);
    $('coverage').hidden = false;
    $('coverage').className = low ? 'warning' : '';
    $('coverage').textContent = (low ? 'Low coverage, read the figures with care: ' : 'Coverage: ') + (known.map(([share, what]) => percent(share) + ' ' + what).join(', ') || 'nothing to attribute') + '. ' + C.sentence;
  }
  if (P.warnings.length) { $('warnings').hidden = false; $('warnings').append(...P.warnings.map(w => make('li', {class: 'warning'}, w))); }
}
function figure(value, unit) {
  return typeof value !== 'number' || ['s', 'B', ''].includes(unit) || PREFIXED.has(unit) ? show(value, unit) : digits(value) + ' ' + unit;
}
function drawFigures(host) {
  const groups = [...new Set(P.metrics.map(m => m.group))], noted = P.metrics.some(m => m.note);
  const line = m => make('tr', {}, make('td', {class: 't'}, pretty(m.name)), make('td', {}, figure(m.value, m.unit), m.low !== null && m.high !== null ? make('span', {class: 'sub'}, `${figure(m.low, m.unit)} – ${figure(m.high, m.unit)}`) : null),
    make('td', {class: 't'}, m.source), noted ? make('td', {class: 't wrap sub-cell'}, m.note) : null);
  const body = groups.map(g => make('tbody', {}, g ? make('tr', {class: 'group'}, make('th', {class: 't', scope: 'rowgroup', colspan: noted ? 4 : 3}, pretty(g))) : null, P.metrics.filter(m => m.group === g).map(line)));
  host.append(make('div', {class: 'scroll figures'}, make('table', {class: 'plain'}, make('caption', {class: 'skip'}, 'Key figures'), make('thead', {}, make('tr', {}, make('th', {scope: 'col', class: 't'}, 'figure'), make('th', {scope: 'col'}, 'value'), make('th', {scope: 'col', class: 't'}, 'source'), noted ? make('th', {scope: 'col', class: 't'}, 'note') : null)), body)));
  if (P.facts.length) { $('facts').hidden = false; clear($('facts-body')).append(...terms(P.facts).children); }
}
function drawTimeline() {
  const T = P.timeline, button = (text, title, act) => make('button', {type: 'button', title, 'aria-label': title, onclick: act}, text);
  $('timeline').hidden = false;
  let last = 0;
  for (const end of D.E) if (end > last) last = end;
  const pad = Math.max(1, last * 0.005);
  Object.assign(V, {low: -pad, high: last + pad, a: -pad, b: last + pad, scroll: 0, frames: 0});
  const field = make('input', {id: 'find', type: 'search', placeholder: 'name', spellcheck: 'false', oninput: () => find(field.value, false), onkeydown: event => { if (event.key === 'Enter') nextFound(); }});
  $('timeline-controls').append(button('+', 'Zoom in', () => zoom(0.5)), button('−', 'Zoom out', () => zoom(2)), button('←', 'Earlier', () => move(-0.4)), button('→', 'Later', () => move(0.4)), button('All', 'Show everything', () => look(V.low, V.high)),
    make('label', {}, 'Find', field), button('Next', 'Next event found', nextFound), make('span', {id: 'found', role: 'status'}));
  const used = [...new Set(KIND)].sort((a, b) => a - b);
  $('timeline-legend').append(...used.map(k => make('li', {}, make('span', {class: 'swatch k-' + KINDS[k], 'aria-hidden': 'true'}), KIND_TITLES[k])));
  const note = `${grouped(T.count)} events over ${seconds(last)}; lines lead from a launch to its kernel. Events narrower than a pixel are merged, darker where busier.`;
  $('timeline-note').textContent = T.omitted ? note + ` The page carries the longest events with their launches: ${grouped(T.omitted)} shorter ones are left out.` : note;
  $('timeline-note').className = T.omitted ? 'warning' : 'hint';
  $('timeline-text').textContent = `${D.rows.filter(r => !r.device).length} host threads and ${D.rows.filter(r => r.device).length} device streams. ` + D.rows.map(r => `${r.label}: ${grouped(r.to - r.from)} events`).join('; ') + '. The tables below hold the same by name.';
  readInk(); fitCanvas(); navigate(); invalidate();
}
function drawSized() {
  const width = Math.max(280, $('title').parentElement.clientWidth);
  if (P.latency) unhide('latency', drawLatency, Math.min(width, 900));
  if (P.sweep) unhide('sweep', drawSweep, width);
}
drawHeader();
if (P.metrics.length || P.facts.length) unhide('figures', drawFigures);
if (D) drawTimeline();
addEventListener('load', () => setTimeout(() => {  // what is below the fold waits until the page is up
  drawSized();
  if (P.splits.length) unhide('splits', drawSplits);
  if (P.kernels && P.kernels.rows.length) unhide('kernels', drawUses, P.kernels, 'Kernels by name');
  if (P.operators && P.operators.rows.length) unhide('operators', drawUses, P.operators, 'Operators by name');
  if (P.copies.length) unhide('copies', drawCopies);
  if (P.fusion && P.fusion.chains.length) unhide('fusion', drawFusion);
  document.body.dataset.ready = 'true';
  performance.mark('ready');
}, 0));
let width = document.body.clientWidth, timer = 0;
addEventListener('resize', () => {
  clearTimeout(timer);
  timer = setTimeout(() => { if (D) { fitCanvas(); invalidate(); } if (document.body.clientWidth !== width) { width = document.body.clientWidth; drawSized(); } }, 100);
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { if (D) { readInk(); invalidate(); } });
