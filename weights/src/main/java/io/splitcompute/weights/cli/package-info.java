/** The command line. */
@NullMarked
package io.splitcompute.weights.cli;

import org.jspecify.annotations.NullMarked;
