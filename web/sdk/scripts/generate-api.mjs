// Writes the types of the HTTP API from the OpenAPI files that the Java build writes.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import openapiTypeScript, { astToString } from 'openapi-typescript'

const repository = new URL('../../../', import.meta.url)
const target = new URL('../src/api/', import.meta.url)

for (const service of ['catalog', 'head']) {
  const source = new URL(
    `functions/${service}/target/classes/META-INF/swagger/splitcompute-${service}.yml`,
    repository,
  )
  if (!existsSync(source)) {
    console.error(
      `${fileURLToPath(source)} is missing: the Java build writes it. ` +
        'Run `./mvnw -DskipTests compile -pl functions/catalog,functions/head -am` at the root of the repository first.',
    )
    process.exit(1)
  }
  mkdirSync(target, { recursive: true })
  writeFileSync(new URL(`${service}.ts`, target), astToString(await openapiTypeScript(source)))
}
