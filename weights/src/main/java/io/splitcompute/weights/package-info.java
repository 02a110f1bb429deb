/** Checkpoints, shards and the stores that hold them. */
@NullMarked
package io.splitcompute.weights;

import org.jspecify.annotations.NullMarked;
