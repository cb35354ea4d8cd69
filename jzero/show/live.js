// While a run goes on, its page reloads from time to time. What the reader has opened stays open; the browser keeps
// the scroll position.
const details = [...document.querySelectorAll('details')];
const unfinished = document.querySelector('[data-reload]');
const kept = history.state;
if (kept) {
  history.replaceState(null, '');
  details.forEach((each, i) => { each.open = kept.details[i] ?? each.open; });
  players.forEach((player, i) => player.show(kept.plies[i] ?? 0));
  if (games[kept.game]) open(kept.game);
}
if (unfinished) {
  const reload = () => {
    if (document.hidden) return;
    history.replaceState({
      details: details.map(each => each.open),
      game: games.findIndex(game => !game.hidden),
      plies: players.map(player => player.at()),
    }, '');
    location.reload();
  };
  // Not under the hands of somebody who reads on.
  let timer;
  const wait = () => { clearTimeout(timer); timer = setTimeout(reload, 1000 * unfinished.dataset.reload); };
  for (const kind of ['pointerdown', 'keydown', 'wheel', 'touchmove']) addEventListener(kind, wait, {passive: true});
  document.addEventListener('visibilitychange', () => document.hidden || reload());
  wait();
}
