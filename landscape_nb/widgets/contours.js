// Contour lines by marching squares: the same pieces, in the same order, as in contours.py.

// Sides of a cell: 0 bottom, 1 right, 2 top, 3 left. For each set of corners above the level
// (1 left bottom, 2 right bottom, 4 right top, 8 left top): the sides that one or two lines join.
const JOINED = [
  [], [[3, 0]], [[0, 1]], [[3, 1]], [[1, 2]], [[3, 0], [1, 2]], [[0, 2]], [[3, 2]],
  [[2, 3]], [[0, 2]], [[0, 1], [2, 3]], [[1, 2]], [[3, 1]], [[0, 1]], [[3, 0]], [],
];

/**
 * Straight pieces of the line Z = level as one list: x, y, x, y of each.
 *
 * Along a cell's sides Z is taken to be linear. In a saddle the two corners above the level hang
 * together if the mean of all four is above it too. Cells follow each other along x, then y.
 * Z is one list, row after row from the lowest y.
 */
export function segments(steps, Z, level) {
  const found = [];
  const size = steps.length;
  for (let j = 0; j < size - 1; j += 1)
    for (let i = 0; i < size - 1; i += 1) {
      const at = j * size + i;
      const [a, b, c, d] = [Z[at], Z[at + 1], Z[at + size + 1], Z[at + size]];
      const above = (a > level) + 2 * (b > level) + 4 * (c > level) + 8 * (d > level);
      if (above === 0 || above === 15) continue;
      const turned = (above === 5 || above === 10) && (a + b + c + d) / 4 > level;
      for (const sides of JOINED[turned ? 15 - above : above])
        for (const side of sides) pushCrossing(found, side, steps, i, j, [a, b, c, d], level);
    }
  return found;
}

function pushCrossing(found, side, steps, i, j, [a, b, c, d], level) {
  const [x, right, y, top] = [steps[i], steps[i + 1], steps[j], steps[j + 1]];
  const between = (low, high, start, end) => start + ((level - low) / (high - low)) * (end - start);
  if (side === 0) found.push(between(a, b, x, right), y);
  else if (side === 1) found.push(right, between(b, c, y, top));
  else if (side === 2) found.push(between(d, c, x, right), top);
  else found.push(x, between(a, d, y, top));
}

/** Pieces that share their ends, as lines of points [x, y]: dashes then run on from one to the next. */
export function chains(pieces) {
  const point = (end) => [pieces[2 * end], pieces[2 * end + 1]]; // ends 2 p and 2 p + 1: piece p's
  const count = pieces.length / 2;
  const at = new Map(); // place -> the ends there
  for (let end = 0; end < count; end += 1) {
    const place = point(end).join();
    if (at.has(place)) at.get(place).push(end);
    else at.set(place, [end]);
  }
  const used = new Uint8Array(count / 2);
  const follow = (start) => {
    const line = [point(start)];
    for (let end = start; end !== undefined; ) {
      const there = point(end ^ 1);
      used[end >> 1] = 1;
      line.push(there);
      end = at.get(there.join()).find((other) => !used[other >> 1]);
    }
    return line;
  };
  const alone = [...at.values()].filter((ends) => ends.length === 1).flat(); // at the plane's edge
  const starts = [...alone, ...Array.from({ length: count / 2 }, (_, piece) => 2 * piece)];
  return starts.flatMap((start) => (used[start >> 1] ? [] : [follow(start)]));
}
