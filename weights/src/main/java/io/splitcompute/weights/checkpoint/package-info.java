/** Checkpoints in Hugging Face layout, and what the families make of them. */
@NullMarked
package io.splitcompute.weights.checkpoint;

import org.jspecify.annotations.NullMarked;
