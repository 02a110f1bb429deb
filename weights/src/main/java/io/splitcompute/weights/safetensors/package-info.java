/** Reads and writes safetensors files, trusting nothing that a file says. */
@NullMarked
package io.splitcompute.weights.safetensors;

import org.jspecify.annotations.NullMarked;
