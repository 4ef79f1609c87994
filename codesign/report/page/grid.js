// Numbers in rows and columns, darker where higher: bits of every layer, what each layer alone costs.
function drawGrids(row) {
  const any = Object.values(P.details).some(d => (d[5] || []).length), host = $('grids-body');
  $('grids').hidden = !any;
  if (!any) return;
  const list = row === null ? [] : detailsOf(row).grids;
  clear(host);
  $('grids-h').textContent = row === null ? 'Layer by layer' : `${label(row)} layer by layer`;
  if (!list.length) host.append(make('p', {class: 'hint'}, row === null ? 'Choose a point.' : 'The layers of this point are not in this page.'));
  for (const grid of list) host.append(gridTable(grid));
}
function gridTable(grid) {
  const most = Math.max(...grid.values.flat().filter(v => v !== null && v > 0), 0);
  const cell = v => make('td', v === null ? {} : {style: `background:color-mix(in srgb, var(--front) ${(Math.max(0, v) / (most || 1) * 55).toFixed(0)}%, transparent)`}, v === null ? '' : digits(v, 3));
  return make('div', {class: 'scroll'}, make('table', {class: 'layers'}, make('caption', {}, `${grid.title} [${grid.unit}]`),
    make('thead', {}, make('tr', {}, make('th', {scope: 'col'}, 'layer'), ...grid.columns.map(c => make('th', {scope: 'col'}, c)))),
    make('tbody', {}, ...grid.rows.map((name, i) => make('tr', {}, make('th', {scope: 'row'}, name), ...grid.values[i].map(cell))))));
}
