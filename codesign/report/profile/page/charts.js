// Still figures: the distribution of launch latency, bars of parts, latency over batch.
function frame(width, height, text) { return shape('svg', {class: 'chart', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': text}); }
function axisBelow(svg, box, scale, texts, title) {
  svg.append(shape('path', {class: 'axis', d: `M${box.left} ${box.bottom}H${box.right}`}));
  for (const [value, text] of texts) { const x = scale(value); if (x >= box.left - 1 && x <= box.right + 1) svg.append(shape('path', {class: 'axis', d: `M${x} ${box.bottom}v4`}), shape('text', {class: 'soft', x, y: box.bottom + 17, 'text-anchor': 'middle'}, text)); }
  svg.append(shape('text', {x: (box.left + box.right) / 2, y: box.bottom + 35, 'text-anchor': 'middle'}, title));
}
function axisLeft(svg, box, scale, ticks, text, title) {
  for (const t of ticks) { const y = scale(t); svg.append(shape('path', {class: 'grid', d: `M${box.left} ${y}H${box.right}`}), shape('text', {class: 'soft', x: box.left - 6, y: y + 4, 'text-anchor': 'end'}, text(t))); }
  svg.append(shape('text', {x: 4, y: 13}, title));
}
function drawLatency(host, width) {
  const L = P.latency, edge = i => Math.pow(10, (L.first + i) / L.per_decade), words = `${grouped(L.total)} launches: 5 % start within ${seconds(L.p05)}, half within ${seconds(L.p50)}, 95 % within ${seconds(L.p95)}, the last within ${seconds(L.most)}. TKLQT, their sum: ${seconds(L.sum)}.`;
  const apart = [L.negative ? `${grouped(L.negative)} negative (the kernel starts before its launch: the clocks of host and device differ)` : '', L.zero ? `${grouped(L.zero)} of exactly zero` : ''].filter(Boolean);
  host.append(make('p', {}, words), make('p', {class: L.negative ? 'warning' : 'hint'}, apart.length ? 'Not on the axis: ' + apart.join(', ') + '.' : 'No negative latencies.'));
  if (!L.counts.length) return;
  const height = 250, box = {left: 58, right: width - 14, top: 42, bottom: height - 42}, lowest = Math.log10(edge(0)), most = Math.max(...L.counts);
  const pad = Math.max(0, 0.5 - (Math.log10(edge(L.counts.length)) - lowest)) / 2 + 0.04, from = lowest - pad, to = Math.log10(edge(L.counts.length)) + pad;
  const sx = v => box.left + (Math.log10(v) - from) / (to - from) * (box.right - box.left), sy = v => box.bottom - v / most * (box.bottom - box.top);
  const svg = frame(width, height, words), ticks = niceTicks(0, most, 4).filter(Number.isInteger);
  axisLeft(svg, box, sy, ticks, t => digits(t, 3), 'launches');
  L.counts.forEach((n, i) => { if (n) { const x = sx(edge(i)), w = sx(edge(i + 1)) - x; svg.append(shape('rect', {class: 'bin', x, width: Math.max(1, w - 1), y: Math.min(sy(n), box.bottom - 1.5), height: Math.max(1.5, box.bottom - sy(n))}, shape('title', {}, `${seconds(edge(i))} to ${seconds(edge(i + 1))}: ${grouped(n)}`))); } });
  let free = -Infinity;
  for (const [mark, name] of [[L.p05, 'p05'], [L.p50, 'p50'], [L.p95, 'p95']]) {
    if (!(mark > 0)) continue;
    const x = sx(mark), text = `${name} ${seconds(mark)}`, room = text.length * 6.4, left = Math.min(Math.max(x + 3, free), box.right - room), y = Math.max(x + 3, free) > box.right - room && free > box.right - room ? 27 : 38;
    svg.append(shape('line', {class: 'limit', x1: x, x2: x, y1: box.top - 2, y2: box.bottom}), shape('text', {class: 'limit-text halo', x: left, y}, text));
    free = left + room + 8;
  }
  axisBelow(svg, box, sx, logTicks(Math.pow(10, from), Math.pow(10, to), Math.max(3, Math.floor(width / 110))).map(t => [t, seconds(t)]), 'launch latency (log scale)');
  host.append(svg);
}
function drawSplits(host) {
  for (const split of P.splits) {
    const whole = split.parts.reduce((sum, part) => sum + part.time, 0);
    const words = split.parts.map(({label, time: t}) => `${cut(label, 120) || NAMELESS} ${seconds(t)} (${percent(whole ? t / whole : 0)})`);
    host.append(make('h3', {title: split.title}, `${cut(split.title, 120)}: ${seconds(whole)}`),
      make('div', {class: 'split-bar', role: 'img', 'aria-label': words.join(', ')}, split.parts.map(({time: t}, i) => t > 0 ? make('span', {class: 'part p' + i % 6, style: `flex-grow:${t / whole}`, title: words[i]}) : null)),
      make('div', {class: 'items'}, words.map((w, i) => make('span', {title: w}, make('span', {class: 'swatch part p' + i % 6, 'aria-hidden': 'true'}), w))));
    if (split.note) host.append(make('p', {class: 'hint'}, split.note));
  }
}
function drawSweep(host, width) {
  const W = P.sweep, T = W.transition, share = W.indicator_unit !== 's', panels = make('div', {class: 'pair'}), each = width > 940 ? (width - 32) / 2 : width;
  if (T) host.append(make('p', {}, T.explanation));
  const level = v => share ? percent(v) : seconds(v);
  sweepPlot(panels, each, W.latency, W.latency_low, W.latency_high, true, seconds, 'latency of a pass', null);
  if (W.indicator) sweepPlot(panels, each, W.indicator, W.indicator_low, W.indicator_high, !share, level, W.indicator_name, W.threshold);
  host.append(panels);
  if (T && T.batch !== null) host.append(make('p', {class: 'hint'}, `Dashed: transition at batch ${digits(T.batch, 3)}, by ${T.rule}. Band: ${T.low === null && T.high === null ? 'no interval' : (T.coverage * 100).toFixed(0) + ' % interval, ' + (T.low === null ? 'below the smallest batch' : digits(T.low, 3)) + ' to ' + (T.high === null ? 'above the largest batch' : digits(T.high, 3))}.`));
  const columns = [{key: 'batch', title: 'batch', text: true, value: i => W.batches[i]}, {key: 'latency', title: 'latency', value: i => W.latency[i], cell: i => [seconds(W.latency[i]), W.latency_low && W.latency_low[i] !== null ? make('span', {class: 'sub'}, seconds(W.latency_low[i]) + ' – ' + seconds(W.latency_high[i])) : null]},
    {key: 'each', title: 'per sample', value: i => W.latency[i] / W.batches[i], cell: i => seconds(W.latency[i] / W.batches[i])}];
  if (W.indicator) columns.push({key: 'indicator', title: W.indicator_name, value: i => W.indicator[i], cell: i => level(W.indicator[i])});
  const table = make('details', {}, make('summary', {}, 'The same as a table'));
  sortable(table, 'Over batch', W.batches.map((_, i) => i), columns);
  host.append(table);
}
function sweepPlot(host, width, values, low, high, log, text, title, threshold) {
  const B = P.sweep.batches, T = P.sweep.transition, height = 270, box = {left: 74, right: width - 16, top: 24, bottom: height - 44};
  const x0 = Math.log2(B[0]), x1 = Math.log2(B[B.length - 1]), pad = Math.max(0.3, (x1 - x0) * 0.04), sx = b => box.left + (Math.log2(b) - x0 + pad) / (x1 - x0 + 2 * pad) * (box.right - box.left);
  const both = [...values, ...(low || []), ...(high || [])].filter(v => v !== null), logged = log && both.every(v => v > 0);
  const sy = scaleOf(log ? [...both, threshold] : [...both, 0, 1], box.bottom, box.top, logged, 4), words = `${title} by batch: ` + B.map((b, i) => `${b}: ${text(values[i])}`).join(', ') + '.';
  const svg = frame(width, height, words);
  axisLeft(svg, box, sy, log ? sy.ticks : [0, 0.25, 0.5, 0.75, 1], log ? text : v => v * 100 + ' %', title + (logged ? ' (log scale)' : ''));
  if (T && T.batch !== null) {
    if (T.low !== null || T.high !== null) { const a = T.low === null ? box.left : Math.max(box.left, sx(T.low)), b = T.high === null ? box.right : Math.min(box.right, sx(T.high)); svg.append(shape('rect', {class: 'band', x: a, width: Math.max(1, b - a), y: box.top, height: box.bottom - box.top}, shape('title', {}, 'interval of the transition'))); }
    const x = sx(T.batch), right = x > box.left + 110;
    svg.append(shape('line', {class: 'limit', x1: x, x2: x, y1: box.top, y2: box.bottom}), shape('text', {class: 'limit-text halo', x: x + (right ? -4 : 4), y: box.top + 12, 'text-anchor': right ? 'end' : 'start'}, 'transition ' + digits(T.batch, 3)));
  }
  if (threshold !== null && threshold !== undefined) svg.append(shape('line', {class: 'limit thin', x1: box.left, x2: box.right, y1: sy(threshold), y2: sy(threshold)}, shape('title', {}, `threshold ${text(threshold)}`)));
  const points = B.map((b, i) => [sx(b), sy(values[i]), i]).filter(p => isFinite(p[1]));
  svg.append(shape('path', {class: 'strand', style: 'opacity:1;stroke-width:2', d: points.map(([x, y], k) => (k ? 'L' : 'M') + x.toFixed(1) + ' ' + y.toFixed(1)).join('')}));
  for (const [x, y, i] of points) {
    if (low && high && low[i] !== null) svg.append(shape('path', {class: 'whisker', d: `M${x} ${sy(low[i])}V${sy(high[i])}M${x - 4} ${sy(low[i])}h8M${x - 4} ${sy(high[i])}h8`}));
    svg.append(shape('circle', {class: 'front', cx: x, cy: y, r: 4.5}, shape('title', {}, `batch ${B[i]}: ${text(values[i])}`)));
  }
  const every = Math.max(1, Math.ceil(B.length * 34 / (box.right - box.left)));
  axisBelow(svg, box, sx, B.filter((_, i) => i % every === 0).map(b => [b, grouped(b)]), 'batch (log2 scale)');
  host.append(make('div', {class: 'plot'}, svg));
}
