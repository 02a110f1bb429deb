// https://fs.spec.whatwg.org/#api-filesystemsyncaccesshandle: TypeScript has it for workers alone.
interface FileSystemSyncAccessHandle {
  /** Bytes that were read, fewer than asked for at the end of the file. */
  read(buffer: Uint8Array<ArrayBuffer>, options: { at: number }): number
  write(buffer: Uint8Array<ArrayBuffer>, options: { at: number }): number
  truncate(bytes: number): void
  getSize(): number
  flush(): void
  close(): void
}

interface FileSystemFileHandle {
  createSyncAccessHandle(): Promise<FileSystemSyncAccessHandle>
}
