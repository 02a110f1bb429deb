/** The path of a headless Chromium that has WebGPU without a GPU. */
export declare function chromiumPath(): string
/** The environment in which Dawn finds a Vulkan driver: nothing where the system has one, else SwiftShader. */
export declare function vulkanEnvironment(): Record<string, string>
