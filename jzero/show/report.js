document.documentElement.classList.add('js');
const games = [...document.querySelectorAll('.game')];
const tabs = [...document.querySelectorAll('.tabs button')];
const list = document.querySelector('.tabs select');
let current = null;
const think = (panel, thought, played) => {
  const parts = thought ? [bars(thought, {played}), element('h2', {}, 'Expected line'), line(thought.line)] : [];
  panel.replaceChildren(...parts);
};
const players = games.map(game => {
  const plies = [...game.querySelectorAll('.strip li')];
  const find = name => game.querySelector(name);
  const [stage, range, trace, bar] = ['.player .board', 'input', '.trace', '.bar i'].map(find);
  const panel = find('.thoughts'), thoughts = JSON.parse(find('script')?.textContent ?? '[]');
  let ply = 0;
  const show = wanted => {
    ply = Math.max(0, Math.min(plies.length - 1, wanted));
    const item = plies[ply];
    stage.className = item.querySelector('.board').className;
    stage.setAttribute('aria-label', item.title);
    find('.ply').textContent = item.dataset.ply;
    find('.says').textContent = item.dataset.says;
    range.value = ply;
    if (panel) think(panel, thoughts[+item.dataset.number], +item.dataset.action);
    if (bar) bar.style.height = item.dataset.share + '%';
    if (trace) {
      const cursor = trace.querySelector('.cursor');
      cursor.setAttribute('x1', item.dataset.at);
      cursor.setAttribute('x2', item.dataset.at);
    }
    plies.forEach((other, i) => i === ply ? other.setAttribute('aria-current', 'true') : other.removeAttribute('aria-current'));
    const strip = item.parentElement;
    strip.scrollLeft = item.offsetLeft - strip.offsetLeft - (strip.clientWidth - item.clientWidth) / 2;
  };
  if (!stage) return {show() {}, move() {}, at: () => 0};
  plies.forEach((item, i) => item.addEventListener('click', () => show(i)));
  range.addEventListener('input', () => show(+range.value));
  game.querySelectorAll('.controls button').forEach(button =>
    button.addEventListener('click', () => show(button.dataset.go ? +button.dataset.go : ply + +button.dataset.by)));
  if (trace) {
    const seek = event => {
      const box = trace.getBoundingClientRect();
      const at = (event.clientX - box.left) / box.width * 100;
      const gap = item => Math.abs(+item.dataset.at - at);
      show(plies.reduce((best, item, i) => gap(item) < gap(plies[best]) ? i : best, 0));
    };
    trace.addEventListener('pointerdown', seek);
    trace.addEventListener('pointermove', event => { if (event.buttons) seek(event); });
  }
  return {show, move: by => show(ply + by), at: () => ply};
});
const open = number => {
  current = players[number];
  games.forEach((game, i) => { game.hidden = i !== number; });
  tabs.forEach((tab, i) => tab.setAttribute('aria-pressed', i === number));
  current.move(0);
};
tabs.forEach((tab, i) => tab.addEventListener('click', () => open(i)));
if (list) list.addEventListener('change', () => open(list.selectedIndex));
if (games.length) open(0);
document.addEventListener('keydown', event => {
  const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (!by || !current || event.ctrlKey || event.altKey || event.metaKey || ['INPUT', 'SELECT'].includes(event.target.tagName)) return;
  current.move(by);
  event.preventDefault();
});
