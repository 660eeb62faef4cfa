// A click on a head sorts by it: numbers and times from the highest, texts from A;
// another click turns it round.
const UNIT = {s: 1, min: 60, h: 3600, d: 86400};
function value(row, i) {
  const text = row.cells[i].textContent, number = parseFloat(text);
  return isNaN(number) ? text : number * (UNIT[text.split(' ')[1]] || 1);
}
function compare(a, b) {
  if (typeof a !== typeof b) return typeof a === 'string' ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}
function sort(head) {
  const i = head.cellIndex, body = head.closest('table').tBodies[0];
  const text = [...body.rows].every(row => typeof value(row, i) === 'string');
  const old = head.getAttribute('aria-sort');
  const up = old ? old === 'descending' : text;
  for (const other of head.parentNode.cells) other.removeAttribute('aria-sort');
  head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
  body.append(...[...body.rows].sort(
    (p, q) => compare(value(p, i), value(q, i)) * (up ? 1 : -1)));
}
for (const head of document.querySelectorAll('th')) {
  head.tabIndex = 0;
  head.addEventListener('click', () => sort(head));
  head.addEventListener('keydown', e => { if (e.key === 'Enter') sort(head); });
}
// Opens all that is folded, or closes it again. What is folded is not printed.
const button = document.getElementById('folds');
if (button && document.querySelector('details')) {
  button.hidden = false;
  button.addEventListener('click', () => {
    const open = button.textContent === 'Open all';
    for (const fold of document.querySelectorAll('details')) fold.open = open;
    button.textContent = open ? 'Close all' : 'Open all';
  });
}
// Images that have not been in sight are drawn before the page is printed.
addEventListener('beforeprint', () => {
  for (const image of document.images) image.loading = 'eager';
});
