/** How fast the head is: beside onnxruntime on the same weights, and under load. */
@NullMarked
package io.splitcompute.bench;

import org.jspecify.annotations.NullMarked;
