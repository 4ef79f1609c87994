// Numbers for people: SI prefixes where the unit takes them.
// The same rules as codesign/units.py: memory in powers of two, small prefixes where they are usual.
const PREFIXED = new Set(['B', 'B/s', 'J', 'W', 'Hz', 'FLOP', 'FLOP/s', 'op/s', 'gCO2e', 'token/s']);
const BIG = ['', 'k', 'M', 'G', 'T', 'P', 'E'], SMALL = ['', 'm', 'µ', 'n', 'p', 'f'];
function prefixOf(value, unit) {
  const size = Math.abs(value);
  if (!size || !isFinite(size) || !(PREFIXED.has(unit) || unit === 's')) return [1, ''];
  let step = Math.floor(Math.log10(Number(size.toPrecision(4))) / 3 + 1e-9);
  if (unit === 'B') { step = Math.min(Math.max(Math.floor(Math.log2(size) / 10 + 1e-9), 0), 4); return [Math.pow(1024, -step), ['', 'Ki', 'Mi', 'Gi', 'Ti'][step]]; }
  step = Math.min(Math.max(step, ['s', 'J', 'W', 'gCO2e'].includes(unit) ? -4 : 0), unit === 's' ? 0 : BIG.length - 1);
  return [Math.pow(1000, -step), step >= 0 ? BIG[step] : SMALL[-step]];
}
// A megagram of CO2e is written a tonne.
const TONNES = {M: '', G: 'k', T: 'M', P: 'G', E: 'T'};
const named = (prefix, unit) => unit === 'gCO2e' && prefix in TONNES ? TONNES[prefix] + 'tCO2e' : prefix + unit;
// Thousands apart; by hand, because the locale's formatter costs more than everything else on this page.
function grouped(text) {
  const [whole, rest] = String(text).split('.');
  return whole.replace(/\B(?=(\d{3})+$)/g, ',') + (rest ? '.' + rest : '');
}
function digits(value, significant = 4) {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e15 || size < 1e-4) return value.toExponential(significant - 1).replace(/\.?0+e/, 'e');
  return grouped(String(Number(value.toPrecision(significant))));
}
function show(value, unit = '', significant = 4) {
  if (value === null || value === undefined) return 'n/a';
  if (value === true) return 'yes';
  if (value === false) return 'no';
  if (typeof value !== 'number') return String(value);
  const [factor, prefix] = prefixOf(value, unit);
  const text = Number.isInteger(value) && factor === 1 ? grouped(value) : digits(value * factor, significant);
  return unit === '$' ? '$' + text : (text + ' ' + named(prefix, unit)).trim();
}
// A tick carries its prefix, and its unit where that is short: the title has the unit too.
function tickText(value, f) {
  const [factor, prefix] = prefixOf(value, f.unit);
  if (f.unit === '$') return show(value, '$', 3);
  const short = f.unit.length <= 5 && (PREFIXED.has(f.unit) || f.unit === 's');
  return (digits(value * factor, 3) + ' ' + (short ? named(prefix, f.unit) : prefix)).trim();
}
// A cell under a header that has the unit: counts stay bare.
const cellText = (value, f, significant) => show(value, PREFIXED.has(f.unit) || ['s', '$'].includes(f.unit) ? f.unit : '', significant);
const signed = percent => (percent > 0 ? '+' : '') + (Math.abs(percent) >= 100 ? grouped(Math.round(percent)) : percent.toFixed(1)) + ' %';
const pretty = name => name.replace(/_/g, ' ');
// Missing values come last whatever the direction: ±2 says so.
function compareValues(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return 2;
  if (b === null || b === undefined) return -2;
  return typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b), 'en', {numeric: true});
}
