/** What the functions share of the HTTP API: problems, limits, settings and the store they read. */
@NullMarked
package io.splitcompute.api;

import org.jspecify.annotations.NullMarked;
