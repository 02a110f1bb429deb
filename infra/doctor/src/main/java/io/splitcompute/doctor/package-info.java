/** Checks a deployment from outside, as a browser sees it. */
@NullMarked
package io.splitcompute.doctor;

import org.jspecify.annotations.NullMarked;
