/** What the head tells of itself, in Prometheus' format on a port of its own. */
@NullMarked
package io.splitcompute.head.metrics;

import org.jspecify.annotations.NullMarked;
