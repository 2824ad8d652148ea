// Heights over planes as planes.py sends them, read once; and what was made of them, made once.

const read = new Map(); // text -> its numbers

/** Numbers written one after the other, as a list; each text is read once. */
export function listOf(text) {
  if (!read.has(text)) read.set(text, text.split(" ").map(Number));
  return read.get(text);
}

/** What `make` has made for an object and a name, made once. */
export function once(kept, object, name, make) {
  if (!kept.has(object)) kept.set(object, new Map());
  const made = kept.get(object);
  if (!made.has(name)) made.set(name, make());
  return made.get(name);
}
