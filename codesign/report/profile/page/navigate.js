// Moving the window of time: wheel, drag, buttons, keys.
function look(a, b) {
  const whole = V.high - V.low, span = Math.min(whole, Math.max(20, b - a)), middle = (a + b) / 2;
  V.a = Math.min(V.high - span, Math.max(V.low, middle - span / 2));
  V.b = V.a + span;
  invalidate();
}
function zoom(factor, x = V.width / 2) {
  const at = V.a + x / V.width * (V.b - V.a), span = Math.min(V.high - V.low, Math.max(20, (V.b - V.a) * factor)), left = at - x / V.width * span;
  look(left, left + span);
}
const move = share => { const by = (V.b - V.a) * share; look(V.a + by, V.b + by); };
function fit(event) {
  const launch = D.LAUNCH[event], from = launch >= 0 ? Math.min(D.S[launch], D.S[event]) : D.S[event], pad = Math.max(50, (D.E[event] - from) * 0.15);
  look(from - pad, D.E[event] + pad);
  scrollTo(event);
}
function scrollTo(event) {
  const host = $('timeline-plot'), lane = laneOf(event), y = lane.row.y + HEAD + lane.depth * LANE;
  if (y - host.scrollTop < AXIS + HEAD || y - host.scrollTop > V.height - LANE) host.scrollTop = Math.max(0, y - V.height / 2);
}
function revealEvent(event) {
  const span = Math.max(V.b - V.a, (D.E[event] - D.S[event]) * 1.2), middle = (D.S[event] + D.E[event]) / 2;
  if (D.S[event] < V.a || D.E[event] > V.b) look(middle - span / 2, middle + span / 2);
  scrollTo(event);
}
function step(by) {
  if (V.picked < 0) { const seen = D.lanes.find(l => l.row.device) || D.lanes[0]; pick(Math.min(seen.to - 1, firstAbove(D.E, (V.a + V.b) / 2, seen.from, seen.to)), true); return; }
  const lane = laneOf(V.picked), next = V.picked + by;
  if (next >= lane.from && next < lane.to) pick(next, true);
}
function other() {
  if (V.picked < 0) return;
  const to = D.LAUNCH[V.picked] >= 0 ? D.LAUNCH[V.picked] : isCall(V.picked) ? startedBy(V.picked)[0] : undefined;
  if (to !== undefined) pick(to, true);
}
const KEYS = {
  '+': () => zoom(1 / 1.5), '=': () => zoom(1 / 1.5), '-': () => zoom(1.5), '0': () => look(V.low, V.high), Home: () => look(V.low, V.high),
  ArrowLeft: () => move(-0.15), ArrowRight: () => move(0.15), n: () => step(1), p: () => step(-1), l: other,
  f: () => { if (V.picked >= 0) fit(V.picked); }, Escape: () => { hover(-1); if (V.picked < 0) find('', false); pick(-1); },
};
function navigate() {
  const host = $('timeline-plot');
  const at = event => { const box = host.getBoundingClientRect(); return [event.clientX - box.left - 1, event.clientY - box.top - 1]; };
  host.addEventListener('wheel', event => {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY), held = event.ctrlKey || event.metaKey;
    if (!sideways && !held && document.activeElement !== host) return;  // the page keeps scrolling until the timeline is asked for
    if (!sideways && !held && event.deltaY > 0 && V.b - V.a >= V.high - V.low) return;
    event.preventDefault();
    if (sideways) move(event.deltaX / V.width);
    else zoom(Math.exp(Math.max(-120, Math.min(120, event.deltaMode ? event.deltaY * 30 : event.deltaY)) * 0.003), at(event)[0]);
  }, {passive: false});
  const fingers = new Map(), timeAt = x => V.a + x / V.width * (V.b - V.a);
  let drag = null, pinch = null;
  host.addEventListener('pointerdown', event => {
    if (event.button) return;
    const [x, y] = at(event);
    if (event.pointerType === 'touch') fingers.set(event.pointerId, x);
    if (fingers.size === 2) { pinch = [...fingers.values()].map(timeAt); drag = null; hover(-1); }
    else if (x < host.clientWidth) drag = {x, y, a: V.a, b: V.b, top: host.scrollTop, moved: false};
  });
  host.addEventListener('pointermove', event => {
    const [x, y] = at(event);
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, x);
    if (pinch) {  // the times stay under the fingers
      const [p, q] = fingers.values(), span = (pinch[1] - pinch[0]) / (q - p) * V.width, left = pinch[0] - p / V.width * span;
      if (span > 0 && Math.abs(q - p) > 10) look(left, left + span);
    } else if (drag && (drag.moved || Math.abs(x - drag.x) + Math.abs(y - drag.y) > 4)) {
      if (!drag.moved) host.setPointerCapture(event.pointerId);
      drag.moved = true;
      hover(-1);
      const by = (drag.x - x) / V.width * (drag.b - drag.a);
      look(drag.a + by, drag.b + by);
      if (event.pointerType === 'mouse') host.scrollTop = drag.top + drag.y - y;
    } else if (!drag) hover(eventAt(x, y), event.clientX, event.clientY);
  });
  const drop = event => {
    if (drag && !drag.moved && event.type === 'pointerup') pick(eventAt(...at(event)));
    fingers.delete(event.pointerId);
    drag = pinch = null;
  };
  for (const name of ['pointerup', 'pointercancel']) host.addEventListener(name, drop);
  host.addEventListener('pointerleave', () => hover(-1));
  host.addEventListener('dblclick', event => { const found = eventAt(...at(event)); if (found >= 0) fit(found); });
  host.addEventListener('scroll', invalidate);
  host.addEventListener('keydown', event => {
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (act && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); act(); }
  });
}
