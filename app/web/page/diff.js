// Differences between texts, line by line, and the merge of two changed versions of a text.

// maxEdits bounds the search for the shortest difference, whose time and memory grow with the square of the edits.
const maxEdits = 1000;

// lines returns the lines of a text, without their ends.
export const lines = (text) => text.split('\n');

// diff returns how to turn the lines a into b: a list of {from, to, added}, in order. Each replaces a[from, to) by the
// lines in added. The list is the shortest one (Myers, "An O(ND) Difference Algorithm", 1986) if that has at most
// maxEdits edits.
export function diff(a, b) {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const hunks = shortest(a.slice(start, a.length - end), b.slice(start, b.length - end));
  return hunks.map(({ from, to, added }) => ({ from: from + start, to: to + start, added }));
}

function shortest(a, b) {
  if (a.length + b.length === 0) return [];
  const all = [{ from: 0, to: a.length, added: b }];
  if (a.length === 0 || b.length === 0) return all;
  const limit = Math.min(a.length + b.length, maxEdits);
  const furthest = new Map([[1, 0]]); // from diagonal to the furthest line of a that is reached on it
  const history = []; // furthest before each edit
  for (let edits = 0; edits <= limit; edits++) {
    history.push(new Map(furthest));
    for (let k = -edits; k <= edits; k += 2) {
      let x = isDown(furthest, k, edits) ? furthest.get(k + 1) : furthest.get(k - 1) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      furthest.set(k, x);
      if (x >= a.length && x - k >= b.length) return trace(history, a, b);
    }
  }
  return all;
}

// isDown reports whether the furthest path to diagonal k ends with an added line, not a removed one.
const isDown = (furthest, k, edits) =>
  k === -edits || (k !== edits && furthest.get(k - 1) < furthest.get(k + 1));

// trace follows the shortest path back and returns it as hunks.
function trace(history, a, b) {
  const hunks = [];
  let x = a.length, y = b.length;
  for (let edits = history.length - 1; edits > 0; edits--) {
    const furthest = history[edits], k = x - y;
    const before = isDown(furthest, k, edits) ? k + 1 : k - 1;
    const fromX = furthest.get(before), fromY = fromX - before;
    const hunk = before > k ? { from: fromX, to: fromX, added: [b[fromY]] } : { from: fromX, to: fromX + 1, added: [] };
    const next = hunks[0];
    if (next && hunk.to === next.from) {
      hunks[0] = { from: hunk.from, to: next.to, added: [...hunk.added, ...next.added] };
    } else hunks.unshift(hunk);
    x = fromX;
    y = fromY;
  }
  return hunks;
}

// merge returns the lines with both changes: from base to mine, and from base to theirs. Where both changed the same
// lines in different ways it has mine and then theirs, and overlaps is true.
export function merge(base, mine, theirs) {
  let merged = [], overlaps = false, at = 0;
  const left = diff(base, mine), right = diff(base, theirs);
  while (left.length + right.length > 0) {
    const from = Math.min(left[0]?.from ?? Infinity, right[0]?.from ?? Infinity);
    let to = from;
    const taken = [[], []]; // the hunks of each side that touch the same lines
    for (let grew = true; grew;) {
      grew = false;
      [left, right].forEach((side, i) => {
        while (side.length > 0 && (side[0].from < to || side[0].from === from)) {
          to = Math.max(to, side[0].to);
          taken[i].push(side.shift());
          grew = true;
        }
      });
    }
    merged = merged.concat(base.slice(at, from));
    const [one, other] = taken.map((hunks) => replaced(base, from, to, hunks));
    const isSame = one.length === other.length && one.every((line, i) => line === other[i]);
    if (taken[1].length === 0 || isSame) merged = merged.concat(one);
    else if (taken[0].length === 0) merged = merged.concat(other);
    else {
      overlaps = true;
      merged = merged.concat(one, other);
    }
    at = to;
  }
  return { merged: merged.concat(base.slice(at)), overlaps };
}

// replaced returns base[from, to) with the hunks applied.
function replaced(base, from, to, hunks) {
  let result = [], at = from;
  for (const hunk of hunks) {
    result = result.concat(base.slice(at, hunk.from), hunk.added);
    at = hunk.to;
  }
  return result.concat(base.slice(at, to));
}
