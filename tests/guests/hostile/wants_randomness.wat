;; Attack: imports random numbers, with which no run can be executed again.
;; Defence: what is imported is read from the outer type, and only four interfaces by their exact names are offered
(component
  (import "wasi:random/random@0.2.6" (instance (export "get-random-u64" (func (result u64)))))
  (core module $m (func (export "handle")))
  (core instance $i (instantiate $m))
  (func (export "handle") (canon lift (core func $i "handle"))))
