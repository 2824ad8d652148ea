// A line fitted to more and more points: its data, its loss landscape, and how much that changes.
//
// l_i(w) = (w1 x_i + w2 - y_i)² / 2. The landscape L_k of the first k samples is a bowl that the
// means of x, x², y, xy and y² determine; so is the increment (l_{k+1} - L_k) / (k + 1).


export const FIRST = 2; // a line needs two points: at k = 1 the bowl is a valley, no line is best
const kept = new WeakMap(); // data -> the last order and added samples, and what follows from them

/** A permutation of 0 .. n - 1 for each order, the same as in Python; 0 changes nothing. */
function shuffled(n, order) {
  const places = Array.from({ length: n }, (_, i) => i);
  let state = Math.imul(order, 2654435761) >>> 0; // spreads 1, 2, 3 over the range
  for (let i = n - 1; i > 0 && order; i -= 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0; // a linear congruential generator
    const j = Math.floor((state * (i + 1)) / 2 ** 32);
    [places[i], places[j]] = [places[j], places[i]];
  }
  return places;
}

/** All samples in order, [x, y, place among the added ones or -1] each. */
function sequence({ order, added, data: { x, y } }) {
  const samples = shuffled(x.length, order).map((i) => [x[i], y[i], -1]);
  added.forEach(([ownX, ownY, k], place) => samples.splice(k, 0, [ownX, ownY, place]));
  return samples;
}

/** Mean and variance of u² over N evenly spaced u in -1..1, both ends included. */
export function gridMoments(N) {
  const m2 = (N + 1) / (3 * (N - 1));
  const m4 = ((N + 1) * (3 * N * N - 7)) / (15 * (N - 1) ** 3);
  return [m2, m4 - m2 * m2];
}

/**
 * Coefficients of a loss on the window: of 1, u, v, u² - mean u² and u v with u, v in -1..1, which
 * are orthogonal on the grid. (That of v² is the same for all losses: no increment has it.)
 */
function onWindow([X, XX, Y, XY, YY], [[c1, h1], [c2, h2]], m2) {
  const rest = c1 * c1 * XX + 2 * c1 * c2 * X + c2 * c2 - 2 * c1 * XY - 2 * c2 * Y + YY;
  return [
    (rest + m2 * (h1 * h1 * XX + h2 * h2)) / 2,
    h1 * (c1 * XX + c2 * X - XY),
    h2 * (c1 * X + c2 - Y),
    (h1 * h1 * XX) / 2,
    h1 * h2 * X,
  ];
}

function runningMeans(moments) {
  const sums = [0, 0, 0, 0, 0];
  return moments.map((moment, i) => moment.map((m, c) => (sums[c] += m) / (i + 1)));
}

/** All that depends on the order and the added samples, for every k at once; computed once. */
function along(state) {
  const { order, added, data } = state;
  const last = kept.get(data);
  if (last?.order === order && last.added === added) return last;
  const samples = sequence(state);
  const [xs, ys, own] = [0, 1, 2].map((i) => samples.map((sample) => sample[i]));
  const window = data.window.map(([low, high]) => [(low + high) / 2, (high - low) / 2]);
  const [m2, v2] = gridMoments(data.grid);
  const sizes = [1, m2, m2, v2, m2 * m2];
  const square = (f) => f.reduce((sum, c, i) => sum + sizes[i] * (c * c), 0);

  const moments = samples.map(([x, y]) => [x, x * x, y, x * y, y * y]);
  const means = runningMeans(moments);
  const each = moments.map((moment) => onWindow(moment, window, m2));
  const bowls = means.map((mean) => onWindow(mean, window, m2));
  const increments = bowls.slice(0, -1).map((bowl, i) =>
    bowl.map((c, j) => (each[i + 1][j] - c) / (i + 2)));
  const squares = increments.map(square);
  const around = each.map((loss) => square(loss.map((c, j) => c - bowls.at(-1)[j])));
  const spread = around.reduce((sum, s) => sum + s, 0) / (samples.length - 1);
  const changes = squares.slice(FIRST - 1);
  const found = { order, added, xs, ys, own, means, increments, squares, changes, spread };
  kept.set(data, found);
  return found;
}

/**
 * Bottom (slope, offset), height there, and mean and variance of x, which shape the bowl:
 * L(bottom + d) = height + ((d2 + mean d1)² + variance d1²) / 2.
 */
function bowlOf([X, XX, Y, XY, YY]) {
  const [variance, covariance] = [XX - X * X, XY - X * Y];
  const slope = covariance / variance;
  const height = (YY - Y * Y - slope * covariance) / 2;
  return { bottom: [slope, Y - slope * X], height, mean: X, variance };
}

/** The samples in order, both bowls, the increment on the window and its mean squares. */
export function numbers(state) {
  const { xs, ys, own, means, increments, squares, changes, spread } = along(state);
  const n = xs.length;
  const k = Math.min(state.k, n - 1); // between two messages added samples may have gone first
  const bowls = [bowlOf(means[k - 1]), bowlOf(means[k])];
  const [before, after] = bowls.map((bowl) => bowl.bottom);
  const moved = Math.hypot(after[0] - before[0], after[1] - before[1]);
  const [increment, changed] = [increments[k - 1], squares[k - 1]];
  const average = spread / (k * (k + 1));
  return {
    k, n, xs, ys, own, before, after, moved, bowls, increment, changed, changes, spread, average,
  };
}
