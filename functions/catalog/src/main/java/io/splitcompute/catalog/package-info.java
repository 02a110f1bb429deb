/** The catalog function: models, manifests and presigned shard URLs. */
@NullMarked
package io.splitcompute.catalog;

import org.jspecify.annotations.NullMarked;
