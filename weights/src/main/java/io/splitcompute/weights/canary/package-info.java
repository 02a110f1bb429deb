/** Canaries: inputs with known answers, computed in f64 by a reference of every layer. */
@NullMarked
package io.splitcompute.weights.canary;

import org.jspecify.annotations.NullMarked;
