// A front measured again beside the original: speed-ups with their intervals, over what the original shows against itself.
const timedAgain = v => verificationRows(v).some(r => typeof r['speed-up'] === 'number');
const judgedAgain = v => verificationRows(v).some(r => 'speed-up' in r);
const FACTS = ['claim', 'original', 'answering without the input', 'error is the', 'other work', 'noise', 'random edits', 'search', 'winner', 'winner, report less search'];
function drawAgain(host, v, whole) {
  const rows = verificationRows(v);
  host.append(terms(FACTS.filter(k => typeof v[k] === 'string').map(k => [k, v[k]])));
  if (Array.isArray(v.edits) && v.edits.length) {
    const columns = ['edit', 'operation', 'where', 'before', 'after', 'repairs', 'without it'];
    host.append(make('h3', {}, 'The edits of the winner that matter'), textTable('', columns, v.edits.map(e => columns.map(c => String(e[c] ?? '')))));
  }
  if (timedAgain(v)) host.append(make('h3', {}, 'Speed-up against the original, 99 % interval'), make('div', {class: 'plot wide'}, speedups(rows.filter(r => typeof r['speed-up'] === 'number'), whole)),
    make('p', {class: 'hint'}, 'Grey: what the original shows against itself, compiled twice and timed in the same way. Filled: faster beyond that band; hollow: not.'));
  const share = x => typeof x === 'number' ? digits(x, 4) : '', factor = x => typeof x === 'number' ? x.toFixed(3) + ' x' : '';
  const heads = ['member', 'edits', ...(timedAgain(v) ? ['speed-up', '99 % interval', 'noise', 'faster'] : []), 'error, search', 'error, selection', 'error, report', 'FLOP', 'operations'];
  const cells = r => [r.member, r.edits, ...(timedAgain(v) ? [factor(r['speed-up']), typeof r.from === 'number' ? `${r.from.toFixed(3)} – ${r.to.toFixed(3)}` : '', factor(r.noise), r.reason || (r.faster ? 'yes' : 'no')] : []),
    share(r.search), share(r.selection), share(r.report), show(r.FLOP), show(r.operations)];
  host.append(make('div', {class: 'scroll'}, make('table', {class: 'plain'}, make('thead', {}, make('tr', {}, heads.map((h, i) => make('th', {scope: 'col', class: i < 2 ? 't' : null}, h)))),
    make('tbody', {}, rows.map(r => make('tr', {}, cells(r).map((c, i) => make('td', {class: i < 2 ? 't' : null}, c))))))));
}
function speedups(rows, whole) {
  const width = Math.max(300, Math.min(760, whole)), line = 24, box = {left: 64, right: width - 86, top: 8, bottom: 8 + rows.length * line}, height = box.bottom + 40;
  const sx = scaleOf(rows.flatMap(r => [r.from, r.to, 1 / r.noise, r.noise]).concat(1), box.left, box.right, false, Math.floor(width / 110));
  const words = r => `${r.member}: ${r['speed-up'].toFixed(3)} (${r.from.toFixed(3)} – ${r.to.toFixed(3)}), noise ${(1 / r.noise).toFixed(3)} – ${r.noise.toFixed(3)}, ${r.faster ? 'faster' : 'not faster beyond noise'}`;
  const svg = shape('svg', {class: 'chart speedups', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': 'Speed-ups. ' + rows.map(words).join('; ')});
  for (const t of sx.ticks) svg.append(shape('line', {class: 'grid', x1: sx(t), x2: sx(t), y1: box.top, y2: box.bottom}), shape('text', {class: 'soft', x: sx(t), y: box.bottom + 16, 'text-anchor': 'middle'}, t + ' x'));
  svg.append(shape('text', {class: 'soft', x: (box.left + box.right) / 2, y: box.bottom + 34, 'text-anchor': 'middle'}, 'speed-up → better'));
  rows.forEach((r, i) => {
    const y = box.top + (i + 0.5) * line;
    svg.append(shape('g', {}, shape('title', {}, words(r)), shape('rect', {class: 'band', x: sx(1 / r.noise), y: y - line / 2 + 2, width: Math.max(1, sx(r.noise) - sx(1 / r.noise)), height: line - 4}),
      shape('path', {class: 'whisker', d: `M${sx(r.from)} ${y}H${sx(r.to)}M${sx(r.from)} ${y - 4}v8M${sx(r.to)} ${y - 4}v8`}),
      shape('circle', {class: r.faster ? 'front' : 'front hollow', cx: sx(r['speed-up']), cy: y, r: 4.5}),
      shape('text', {x: box.left - 8, y: y + 4, 'text-anchor': 'end'}, r.member), shape('text', {class: 'soft', x: box.right + 8, y: y + 4}, r['speed-up'].toFixed(3) + ' x')));
  });
  svg.append(shape('line', {class: 'limit', x1: sx(1), x2: sx(1), y1: box.top, y2: box.bottom}));
  return svg;
}
