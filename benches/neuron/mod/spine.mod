: AMPA and NMDA receptors of `spines` spines side by side, calcium of one of them, its integral, potentiation.
NEURON { POINT_PROCESS spine NONSPECIFIC_CURRENT i RANGE ampa, nmda, spines, theta, calcium, integral, lagged, ica GLOBAL block }
UNITS { (mV) = (millivolt) (uS) = (microsiemens) (nA) = (nanoamp) (mM) = (milli/liter) }
PARAMETER { ampa = 3.2e-5 (uS) nmda = 4e-5 (uS) spines = 1 theta = 0 }
ASSIGNED { v (mV) i (nA) ica (nA) block ampa_norm nmda_norm gain keep_a1 keep_a2 keep_n1 keep_n2
  a1 a2 n1 n2 calcium (mM) integral lagged }
INITIAL { LOCAL peak
  peak = 0.34*2/(2 - 0.34)*log(2/0.34) ampa_norm = ampa/(exp(-peak/2) - exp(-peak/0.34))
  peak = 2*26/(26 - 2)*log(26/2) nmda_norm = nmda/(exp(-peak/26) - exp(-peak/2))
  a1 = 0 a2 = 0 n1 = 0 n2 = 0 calcium = 5e-7 integral = 0 lagged = 0 gain = 1
  keep_a1 = exp(-dt/0.34) keep_a2 = exp(-dt/2) keep_n1 = exp(-dt/2) keep_n2 = exp(-dt/26)
}
BREAKPOINT { LOCAL n
  SOLVE pool
  unblock(v)
  n = spines*nmda_norm*(n2 - n1)*block
  ica = 0.021*n*(v - 130)
  i = spines*ampa_norm*gain*(a2 - a1)*v + n*(v + 0.7)
}
PROCEDURE pool() { LOCAL inflow, above, alpha
  a1 = a1*keep_a1 a2 = a2*keep_a2 n1 = n1*keep_n1 n2 = n2*keep_n2
  inflow = -ica/spines*1e4*100/0.78539816339/(2*96485.33*0.125*18)
  if (inflow < 0) { inflow = 0 }
  calcium = (calcium + dt*(inflow + 5e-7/15))/(1 + dt/15)
  above = calcium - 5e-7
  integral = (integral + dt*above*above*above*above)/(1 + dt/20000)
  if (theta > 0) {
    lagged = (lagged + dt/500*integral)/(1 + dt/500)
    alpha = 1/(1 + exp(-20*(lagged/theta - 1))) gain = 1 - alpha + 8*alpha
  }
}
PROCEDURE unblock(v (mV)) {
  TABLE block FROM -140 TO 80 WITH 1000
  block = 1/(1 + exp(-0.075*(v + 10)))
}
NET_RECEIVE(w) { a1 = a1 + w a2 = a2 + w n1 = n1 + w n2 = n2 + w }
