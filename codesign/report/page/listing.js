// Tables of texts: what each edit of the chosen point does.
function drawListings(row) {
  const any = Object.values(P.details).some(d => (d[6] || []).length), host = $('listings-body');
  $('listings').hidden = !any;
  if (!any) return;
  const list = row === null ? [] : detailsOf(row).listings;
  clear(host);
  $('listings-h').textContent = row === null ? 'In words' : `${label(row)} in words`;
  if (!list.length) host.append(make('p', {class: 'hint'}, row === null ? 'Choose a point.' : row === P.baseline ? 'The original: nothing is changed.' : 'The words for this point are not in this page.'));
  for (const one of list) host.append(textTable(one.title, one.columns, one.rows));
}
function textTable(title, columns, rows) {
  const filled = columns.map((_, i) => rows.some(r => r[i]));
  const shown = cells => cells.filter((_, i) => filled[i]);
  return make('div', {class: 'scroll'}, make('table', {class: 'plain texts'}, make('caption', {}, title),
    make('thead', {}, make('tr', {}, shown(columns).map(c => make('th', {scope: 'col', class: 't'}, c)))),
    make('tbody', {}, rows.map(r => make('tr', {}, shown(r).map(cell => make('td', {class: cell.length > 40 ? 't wrap long' : 't wrap'}, cell)))))));
}
