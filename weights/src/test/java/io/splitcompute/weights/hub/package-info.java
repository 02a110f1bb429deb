/** Tests of what is fetched from a hub that misbehaves. */
@NullMarked
package io.splitcompute.weights.hub;

import org.jspecify.annotations.NullMarked;
