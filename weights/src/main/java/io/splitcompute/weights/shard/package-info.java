/** Makes shards and manifests of checkpoints. */
@NullMarked
package io.splitcompute.weights.shard;

import org.jspecify.annotations.NullMarked;
