// What one event is: under the pointer, picked, found by name.
function factsOf(event) {
  const {S, E, LAUNCH} = D, launch = LAUNCH[event], pairs = [['start', exact(S[event] + P.timeline.first)], ['duration', exact(E[event] - S[event])], ['row', cut(laneOf(event).row.label, 80)]];
  if (launch >= 0) pairs.push(['launch latency', exact(S[event] - S[launch])], ['launched by', shortName(D.ID[launch]) + ', ' + exact(E[launch] - S[launch])]);
  if (isCall(event)) { const n = startedBy(event); if (n.length) pairs.push(['started', n.length === 1 ? shortName(D.ID[n[0]]) : `${grouped(n.length)}${n.length === 2000 ? ' or more' : ''} on the device`]); if (n.length) pairs.push(['launch latency', exact(S[n[0]] - S[event]) + (n.length > 1 ? ' to the first' : '')]); }
  return pairs;
}
function eventAt(x, y) {
  const time = V.a + x / V.width * (V.b - V.a), slack = (V.b - V.a) / V.width * 3;
  for (const row of D.rows) {
    const depth = Math.floor((y + V.scroll - row.y - HEAD) / LANE);
    if (depth < 0 || depth >= row.lanes.length || y < AXIS) continue;
    const lane = row.lanes[depth], i = firstAbove(D.E, time, lane.from, lane.to), near = [i - 1, i].filter(e => e >= lane.from && e < lane.to);
    const away = e => Math.max(0, D.S[e] - time, time - D.E[e]);
    near.sort((p, q) => away(p) - away(q));
    return near.length && away(near[0]) <= slack ? near[0] : -1;
  }
  return -1;
}
function hover(event, x, y) {
  const tip = $('tip');
  if (event !== V.hover) {
    V.hover = event;
    if (event >= 0) clear(tip).append(make('strong', {}, cut(NAME[D.ID[event]] || NAMELESS, 300)), make('div', {class: 'sub'}, KIND_TITLES[KIND[D.ID[event]]]), terms(factsOf(event)));
    invalidate();
  }
  tip.hidden = event < 0;
  if (event >= 0) placeTip(tip, x, y);
}
function pick(event, reveal) {
  V.picked = event;
  const card = $('event');
  card.hidden = event < 0;
  if (event >= 0) {
    const launch = D.LAUNCH[event], started = isCall(event) ? startedBy(event) : [];
    clear(card).append(make('strong', {}, NAME[D.ID[event]] || NAMELESS), ' ', make('span', {class: 'tag'}, KIND_TITLES[KIND[D.ID[event]]]), terms(factsOf(event)), make('div', {class: 'bar'},
      make('button', {type: 'button', onclick: () => fit(event)}, 'Fit'),
      launch >= 0 ? make('button', {type: 'button', onclick: () => pick(launch, true)}, 'To its launch') : null,
      started.length ? make('button', {type: 'button', onclick: () => pick(started[0], true)}, 'To its kernel') : null,
      make('button', {type: 'button', onclick: () => find(NAME[D.ID[event]], true)}, 'Mark all of this name')));
    if (reveal) revealEvent(event);
  }
  invalidate();
}
// Marks the events of a name, or those whose name holds a text; everything else fades.
function find(text, whole) {
  const wanted = text.toLowerCase(), hit = NAME.map(name => whole ? name === text : name.toLowerCase().includes(wanted));
  $('find').value = text;
  V.found = V.foundBefore = null;
  if (text) {
    V.found = new Uint8Array(D.S.length);
    V.foundBefore = new Uint32Array(D.S.length + 1);
    for (let i = 0; i < V.found.length; i++) { V.found[i] = hit[D.ID[i]] ? 1 : 0; V.foundBefore[i + 1] = V.foundBefore[i] + V.found[i]; }
  }
  $('found').textContent = text ? grouped(V.foundBefore[D.S.length]) + ' found' : '';
  $('next').hidden = !text || !V.foundBefore[D.S.length];
  invalidate();
}
function nextFound() {
  if (!V.found) return;
  const next = V.found.indexOf(1, V.picked + 1), event = next >= 0 ? next : V.found.indexOf(1);
  if (event >= 0) pick(event, true);
}
