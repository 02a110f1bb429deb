/** Fetches checkpoints from the Hugging Face hub. */
@NullMarked
package io.splitcompute.weights.hub;

import org.jspecify.annotations.NullMarked;
