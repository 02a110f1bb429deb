/**
 * The first name that an object of a JSON text has twice, which `JSON.parse` would hide by keeping the last.
 *
 * @param text valid JSON
 */
export function duplicateName(text: string): string | undefined {
  const open: (Set<string> | undefined)[] = []
  const token = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/g
  for (const [match, colon] of text.matchAll(token)) {
    if (match === '{') {
      open.push(new Set())
    } else if (match === '[') {
      open.push(undefined)
    } else if (match === '}' || match === ']') {
      open.pop()
    } else if (colon !== undefined) {
      const name = JSON.parse(match.slice(0, -colon.length)) as string
      const names = open.at(-1)
      if (names?.has(name)) {
        return name
      }
      names?.add(name)
    }
  }
  return undefined
}
