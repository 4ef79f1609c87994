// The page of a footprint: bars with intervals, tCDP over the life with crossovers, tables.
const data = JSON.parse($('data').textContent);
const TITLES = {operational: 'operational', embodied: 'embodied', sci: 'SCI', embodied_share: 'embodied share', tcdp: 'tCDP', cdp: 'CDP',
  cep: 'CEP', c2ep: 'C²EP', ce2p: 'CE²P', edp: 'EDP', cci: 'CCI', energy: 'energy', delay: 'delay'};
const number = (value, unit) => show(value, unit, 3);
const range = q => number(q.value, q.unit) + (q.low === q.high ? '' : ` [${number(q.low, q.unit)} to ${number(q.high, q.unit)}]`);
const color = place => `var(--c${place % 10})`;
const systems = [...new Set(data.footprints.map(row => row.system))];
const grids = [...new Set(data.footprints.map(row => row.grid))];

function tipOn(node, text) {
  const tip = $('tip');
  const move = event => { tip.textContent = text; tip.hidden = false; placeTip(tip, event.clientX, event.clientY); };
  node.addEventListener('mousemove', move);
  node.addEventListener('mouseleave', () => { tip.hidden = true; });
}
function table(heads, rows) {
  const cells = (row, tag) => row.map((value, place) => make(tag, {class: heads[place].startsWith('>') ? 'number' : null}, value));
  return make('table', {}, make('thead', {}, make('tr', {}, cells(heads.map(h => h.replace(/^>/, '')), 'th'))),
    make('tbody', {}, rows.map(row => make('tr', {}, cells(row, 'td')))));
}
function header() {
  $('title').textContent = data.title || 'Carbon footprint';
  $('summary').textContent = `Carbon of ${data.functional_unit === 'not declared' ? 'a unit; functional unit not declared' : data.functional_unit}; ${data.boundary === 'not declared' ? 'boundary not declared' : 'boundary: ' + data.boundary}. ` +
    `Intervals hold 90 % of ${grouped(data.draws)} draws.`;
  const facts = [['boundary', data.boundary], ['functional unit', data.functional_unit],
    ...Object.entries(data.method).map(([name, how]) => ['energy of ' + name, how]),
    ['accounting', 'location-based, without offsets (SCI, ISO/IEC 21031)'],
    ...data.grids.map(line => ['grid', line.replace(/^grid: /, '')]),
    ...data.assumed.map(text => ['assumed', text]), ...data.notes.map(text => ['note', text]), ['draws', `${grouped(data.draws)}, seed ${data.seed}`]];
  $('facts').append(...facts.flatMap(([k, v]) => [make('dt', {}, k), make('dd', {}, v)]));
}
function bars() {
  const rows = data.footprints.filter(row => row.figures.operational || row.figures.embodied);
  if (!rows.length) return;
  const left = 190, width = 860, height = 30, right = 150, top = 8, all = top + rows.length * height + 40;
  const total = row => (row.figures.operational?.value || 0) + (row.figures.embodied?.value || 0);
  const most = Math.max(...rows.map(row => Math.max(total(row), row.figures.sci?.high || 0)));
  const x = value => left + value / most * (width - left - right);
  const svg = shape('svg', {class: 'chart', width, height: all, role: 'img', 'aria-label': 'operational and embodied carbon of each system and grid'});
  for (const tick of niceTicks(0, most, 6)) {
    svg.append(shape('line', {class: 'grid', x1: x(tick), x2: x(tick), y1: top, y2: all - 36}),
      shape('text', {class: 'soft', x: x(tick), y: all - 20, 'text-anchor': 'middle'}, number(tick, 'gCO2e')));
  }
  rows.forEach((row, place) => {
    const y = top + place * height + 4, o = row.figures.operational?.value || 0, m = row.figures.embodied?.value || 0;
    const group = shape('g', {}, shape('text', {x: left - 8, y: y + 15, 'text-anchor': 'end'}, cut(row.system + (row.grid ? ' · ' + row.grid : ''), 26)),
      shape('rect', {class: 'operational', x: x(0), y, width: Math.max(x(o) - x(0), 0), height: 21}),
      shape('rect', {class: 'embodied', x: x(o), y, width: Math.max(x(o + m) - x(o), 0), height: 21}));
    const q = row.figures.sci;
    if (q) group.append(shape('path', {class: 'whisker', d: `M${x(q.low)} ${y + 10.5}H${x(q.high)}M${x(q.low)} ${y + 6}v9M${x(q.high)} ${y + 6}v9`}));
    group.append(shape('text', {class: 'soft halo', x: x(Math.max(o + m, q ? q.high : 0)) + 8, y: y + 15}, number(o + m, 'gCO2e')));
    tipOn(group, [row.system, row.grid, ...Object.entries(row.figures).slice(0, 3).map(([k, v]) => `${TITLES[k]} ${range(v)}`), row.label].filter(Boolean).join(' · '));
    svg.append(group);
  });
  $('bars').append(svg);
  $('bars-legend').append(...[['operational', 'operational'], ['embodied', 'embodied share of the life']].map(([kind, text]) =>
    make('li', {}, make('span', {class: 'swatch', style: `background:var(--${kind === 'operational' ? 'c0' : 'c1'})`}), text)), make('li', {}, '⊢⊣ 90 % interval of the sum'));
}
const chosen = {grid: null, relative: false};
function life() {
  const grid = chosen.grid, named = Object.entries(data.lines).filter(([, found]) => found[grid]).map(([name, found]) => [name, found[grid]]);
  const least = data.years.map((_, at) => Math.min(...named.map(([, found]) => found[at])));
  const lines = named.map(([name, found]) => [name, chosen.relative ? found.map((value, at) => value / least[at]) : found]);
  const width = 860, height = 380, left = 84, right = 150, top = 12, bottom = 46;
  const values = lines.flatMap(([, found]) => found);
  const x = scaleOf(data.years, left, width - right, true, 7), y = scaleOf(values, height - bottom, top, wantsLog(values) || !chosen.relative, 6);
  const svg = shape('svg', {class: 'chart', width, height, role: 'img', 'aria-label': 'total carbon times delay of each system over years of life'});
  for (const tick of x.ticks) svg.append(shape('line', {class: 'grid', x1: x(tick), x2: x(tick), y1: top, y2: height - bottom}), shape('text', {class: 'soft', x: x(tick), y: height - bottom + 18, 'text-anchor': 'middle'}, String(tick)));
  for (const tick of y.ticks) svg.append(shape('line', {class: 'grid', x1: left, x2: width - right, y1: y(tick), y2: y(tick)}), shape('text', {class: 'soft', x: left - 8, y: y(tick) + 4, 'text-anchor': 'end'}, digits(tick, 3)));
  svg.append(shape('text', {class: 'soft', x: (left + width - right) / 2, y: height - 8, 'text-anchor': 'middle'}, 'years of life'),
    shape('text', {class: 'soft', transform: `translate(16 ${(top + height - bottom) / 2}) rotate(-90)`, 'text-anchor': 'middle'}, chosen.relative ? 'tCDP over the least of all systems' : 'tCDP of a functional unit, gCO2e s'));
  const best = new Set(data.crossovers.length ? data.crossovers.map(row => row.system) : systems);
  const ends = [];
  for (const [name, found] of lines) {
    const place = systems.indexOf(name), points = found.map((value, at) => `${x(data.years[at]).toFixed(1)} ${y(value).toFixed(1)}`);
    const path = shape('path', {class: 'line' + (best.has(name) ? '' : ' never'), d: 'M' + points.join('L'), style: `stroke:${color(place)}`});
    const whole = data.lines[name][grid];
    tipOn(path, `${name} in ${grid}: ${number(whole[0], 'gCO2e s')} at ${digits(data.years[0], 2)} years, ${number(whole.at(-1), 'gCO2e s')} at ${digits(data.years.at(-1), 3)}`);
    svg.append(path);
    ends.push([y(found.at(-1)), name, place]);
  }
  ends.sort((a, b) => a[0] - b[0]);
  let below = -Infinity;
  for (const [at, name, place] of ends) { below = Math.max(at + 4, below + 15); svg.append(shape('text', {x: width - right + 8, y: below, style: `fill:${color(place)}`}, cut(name, 20))); }
  const told = [];
  data.crossovers.forEach((row, place) => {
    const years = row.years[grid];
    if (!place || years === null || years === undefined) return;
    const before = data.crossovers[place - 1].system;
    told.push(`${row.system} is below ${before} from ${digits(years, 3)} years on`);
    if (years < data.years[0] || years > data.years.at(-1)) return;
    const found = lines.find(([name]) => name === row.system)?.[1];
    const at = data.years.findIndex(v => v >= years), mark = shape('circle', {class: 'cross', cx: x(years), cy: y(found[at]), r: 5});
    tipOn(mark, told.at(-1));
    svg.append(mark, shape('text', {class: 'halo', x: x(years) + 8, y: y(found[at]) - 9}, digits(years, 2) + ' years'));
  });
  clear($('life-plot')).append(svg);
  clear($('life-legend')).append(...lines.map(([name]) => make('li', {}, make('span', {class: 'swatch', style: `background:${color(systems.indexOf(name))}`}), name + (best.has(name) ? '' : ' (never best)'))), told.length ? make('li', {}, '○ crossover') : '');
  $('life-note').textContent = told.length ? told.join('; ') + '.' : data.crossovers.length ? `${data.crossovers[0].system} is best for every life, grid and utilisation.` : '';
}
function tables() {
  const names = Object.keys(data.units).filter(name => data.footprints.some(row => row.figures[name]));
  $('figures-body').append(table(['figure', ...data.footprints.map(row => '>' + row.system + (row.grid ? ' · ' + row.grid : ''))],
    names.map(name => [TITLES[name] + (data.units[name] ? ', ' + data.units[name] : ''), ...data.footprints.map(row => row.figures[name] ? range({...row.figures[name], unit: ['J', 's', 'gCO2e'].includes(row.figures[name].unit) ? row.figures[name].unit : ''}) : row.reasons[name] || '–')])));
  const parts = Object.entries(data.parts).flatMap(([system, found]) => [...found.map(part => [system, part.name, range(part.grams)]),
    ...(found.length > 1 && data.embodied[system] ? [[system, 'whole', range(data.embodied[system])]] : [])]);
  if (parts.length) { $('made').hidden = false; $('made-body').append(table(['system', 'part', '>carbon'], parts)); }
  if (data.comparisons.length) {
    $('compared').hidden = false;
    if (systems.length > 2) {
      const heads = [...new Map(data.best.map(row => [row.grid + row.figure, row])).values()];
      const found = (system, head) => data.best.find(row => row.system === system && row.grid === head.grid && row.figure === head.figure);
      const share = row => row ? (row.share * 100).toFixed(1) + ' %' : '–';
      $('compared-best').append(table(['best in how many draws', ...heads.map(row => `>${row.grid} · ${TITLES[row.figure]}`)],
        systems.map(system => [system, ...heads.map(head => share(found(system, head)))])));
    }
    $('compared-body').append(table(['first', 'second', 'grid', 'by', '>share of draws'], data.comparisons.map(row =>
      [row.one, row.other, row.grid, TITLES[row.figure], (row.share * 100).toFixed(1) + ' %'])));
  }
}
header();
bars();
const drawn = grids.filter(grid => Object.values(data.lines).some(found => found[grid]));
if (drawn.length) {
  $('life').hidden = false;
  chosen.grid = drawn[0];
  if (drawn.length > 1) $('life-controls').append(choice('grid ', drawn.map(grid => [grid, grid]), drawn[0], grid => { chosen.grid = grid; life(); }));
  if (Object.keys(data.lines).length > 1) {
    chosen.relative = true;
    $('life-controls').append(check('relative to the best', true, on => { chosen.relative = on; life(); }));
  }
  life();
}
tables();
document.body.dataset.ready = 'true';
