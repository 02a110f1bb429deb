/** Where manifests and shards are: a folder or a bucket, laid out alike. */
@NullMarked
package io.splitcompute.weights.store;

import org.jspecify.annotations.NullMarked;
