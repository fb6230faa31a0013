/** What is smallest by its key comes first; of equals, what came first. */
export class Heap<T> {
  readonly #items: { readonly key: number; readonly order: number; readonly value: T }[] = [];
  #added = 0;

  /** Infinity where there is none. */
  get least(): number {
    return this.#items[0]?.key ?? Number.POSITIVE_INFINITY;
  }

  add(key: number, value: T): void {
    const items = this.#items;
    const item = { key, order: this.#added++, value };
    let at = items.length;
    for (items.push(item); at > 0; ) {
      const above = (at - 1) >> 1;
      if (!this.#isBefore(item, items[above] as typeof item)) break;
      items[at] = items[above] as typeof item;
      at = above;
    }
    items[at] = item;
  }

  take(): T | undefined {
    const items = this.#items;
    const first = items[0];
    const item = items.pop();
    if (first === undefined || item === undefined || items.length === 0) return first?.value;
    let at = 0;
    for (let below = 1; below < items.length; below = 2 * at + 1) {
      const right = items[below + 1];
      if (right !== undefined && this.#isBefore(right, items[below] as typeof item)) below++;
      if (!this.#isBefore(items[below] as typeof item, item)) break;
      items[at] = items[below] as typeof item;
      at = below;
    }
    items[at] = item;
    return first.value;
  }

  #isBefore(a: { key: number; order: number }, b: { key: number; order: number }): boolean {
    return a.key < b.key || (a.key === b.key && a.order < b.order);
  }
}
