// The scene of samples/desk.mp4: a desk seen by a camera that does not move.
// make_sample.py calls this with the pictures and motion.inc in the current folder;
// `clock` is the number of the frame. Lengths are centimetres.
#version 3.7;
global_settings { assumed_gamma 1.0 max_trace_level 6 }

#include "motion.inc"   // Ball[n], Roll[n], Globe[n], Pinwheel[n], Second[n], Minute[n]
#declare N = int(clock + 0.5);

camera {
  location <0, 40, -100>
  right x * 16/9
  angle 38
  look_at <0, 11.3, 0>
}

// No jitter and no radiosity: what does not move has the same pixels in every frame.
light_source {
  <-70, 95, -80>, rgb <1.0, 0.93, 0.82> * 1.25
  area_light <14, 0, 6>, <0, 12, 8>, 4, 4 adaptive 0 circular orient
}
light_source { <90, 60, -90>, rgb <0.30, 0.38, 0.52> * 0.75 shadowless }
light_source { <0, 120, -20>, rgb 0.16 shadowless }

#declare Matt  = finish { ambient 0.06 diffuse 0.80 }
#declare Satin = finish { ambient 0.05 diffuse 0.72 specular 0.25 roughness 0.02 }
#declare Gloss = finish { ambient 0.04 diffuse 0.70 specular 0.60 roughness 0.004 reflection { 0.02, 0.22 fresnel on } conserve_energy }
#declare Brass = texture {
  pigment { rgb <0.72, 0.50, 0.20> }
  finish { ambient 0.03 diffuse 0.35 specular 0.8 roughness 0.01 metallic reflection { 0.35 metallic } }
}

// A picture on the unit square <0,0>..<1,1> facing the camera.
#macro Picture(File) pigment { image_map { png File once interpolate 2 } } #end

// ---- room -------------------------------------------------------------------
plane { -z, -12
  texture { pigment { image_map { png "wallpaper.png" interpolate 2 } scale 4.8 } finish { Matt } normal { granite 0.05 scale 3 } }
}
box { <-80, 0, 11.2>, <80, 2.4, 12>   // skirting along the back of the desk
  texture { pigment { rgb <0.83, 0.80, 0.74> } finish { Satin } }
}

#declare Plank = 0;
#while (Plank < 12)
  box { <-90, -2, -0.06>, <90, 0, -5.94>
    texture {
      pigment {
        wood turbulence <0.05, 0.04, 0.30> octaves 5 lambda 2.4 omega 0.55
        color_map {
          [0.00 rgb <0.30, 0.155, 0.068>]
          [0.35 rgb <0.40, 0.215, 0.100>]
          [0.62 rgb <0.48, 0.275, 0.135>]
          [0.92 rgb <0.26, 0.125, 0.052>]
          [1.00 rgb <0.30, 0.155, 0.068>]
        }
        scale <0.9, 0.9, 14> rotate 90*y rotate <1.5 + 0.7*mod(Plank, 3), 0, 0.8*mod(Plank*7, 5) - 1.2>
        translate <Plank*31, 3.5 + 1.1*mod(Plank*5, 4), 2.2*mod(Plank*3, 7)>
      }
      normal { bumps 0.04 scale <6, 0.12, 0.12> }
      finish { ambient 0.05 diffuse 0.75 specular 0.18 roughness 0.03 reflection { 0.0, 0.16 fresnel on } conserve_energy }
    }
    interior { ior 1.45 }
    translate <0, 0, 12 - 6*Plank>
  }
  #declare Plank = Plank + 1;
#end
box { <-90, -2.2, -70>, <90, -0.25, 12> texture { pigment { rgb 0.03 } finish { Matt } } }

// ---- what hangs on the wall ---------------------------------------------------
union {  // the chart
  box { <0, 0, 0>, <1, 1, 0.01> texture { Picture("chart.png") finish { Matt } } scale <20.4, 13.6, 1> }
  box { <-0.7, -0.7, 0.02>, <21.1, 14.3, 0.6> texture { pigment { rgb <0.10, 0.08, 0.07> } finish { Satin } } }
  translate <-25.5, 15.4, 11>
}

union {  // the clock
  cylinder { <0, 0, 0.0>, <0, 0, 1.2>, 6.7 texture { pigment { rgb <0.09, 0.20, 0.23> } finish { Gloss } } interior { ior 1.5 } }
  torus { 6.35, 0.42 rotate 90*x texture { Brass } }
  disc { <0, 0, -0.01>, -z, 6.1
    texture { pigment { image_map { png "clock.png" once interpolate 2 } translate <-0.5, -0.5, 0> scale 12.2 } finish { Matt } } }
  box { <-0.22, -0.8, -0.14>, <0.22, 3.3, -0.10> rotate -(Minute[N]/12)*z texture { pigment { rgb 0.05 } finish { Satin } } }
  box { <-0.15, -1.0, -0.24>, <0.15, 4.8, -0.20> rotate -Minute[N]*z texture { pigment { rgb 0.05 } finish { Satin } } }
  union {
    box { <-0.06, -1.5, -0.34>, <0.06, 5.0, -0.31> }
    cylinder { <0, 0, -0.40>, <0, 0, -0.1>, 0.28 }
    rotate -Second[N]*z texture { pigment { rgb <0.70, 0.04, 0.03> } finish { Satin } }
  }
  translate <21.5, 22.6, 10.6>
}

// ---- what stands on the desk ---------------------------------------------------
#macro Book(File, X, W, H, D, Cover, Lean)
  union {
    box { <0, 0, 0>, <1, 1, 0.02> texture { Picture(File) finish { Satin } } scale <W, H, 1> translate -0.02*z }
    box { <0, 0, 0>, <0.12, H, D> texture { pigment { rgb Cover } finish { Satin } } }
    box { <W - 0.12, 0, 0>, <W, H, D> texture { pigment { rgb Cover } finish { Satin } } }
    box { <0.12, 0.25, 0>, <W - 0.12, H - 0.3, D - 0.3>
      texture { pigment { gradient x color_map { [0 rgb <0.86, 0.82, 0.70>] [0.7 rgb <0.80, 0.75, 0.62>] [1 rgb <0.55, 0.50, 0.40>] } scale 0.09 } finish { Matt } } }
    rotate Lean*z translate <X, 0, 0.5>
  }
#end
Book("book0.png", 11.6, 2.5, 12.6, 9, <0.42, 0.06, 0.06>, 0)
Book("book1.png", 14.2, 1.9, 11.4, 9, <0.06, 0.16, 0.32>, 0)
Book("book2.png", 16.2, 3.0, 13.2, 9, <0.05, 0.22, 0.13>, 0)
Book("book3.png", 19.3, 2.2, 12.0, 9, <0.62, 0.40, 0.08>, 0)
Book("book4.png", 21.6, 2.6, 12.8, 9, <0.16, 0.12, 0.22>, 0)
Book("book5.png", 25.9, 2.0, 12.2, 9, <0.70, 0.66, 0.58>, 7.5)

union {  // the globe, turning
  sphere { 0, 5.2
    texture { pigment { image_map { png "globe.png" map_type 1 interpolate 2 } rotate Globe[N]*y } finish { Gloss } }
    interior { ior 1.45 } rotate <0, 0, -23.4>
  }
  difference {  // the half ring that holds it
    torus { 5.75, 0.28 rotate 90*x }
    plane { x, 0 rotate -23.4*z }
    rotate 18*y
    texture { Brass }
  }
  cylinder { <0, -5.6, 0>, <0, -7.6, 0>, 0.55 texture { Brass } }
  cone { <0, -7.5, 0>, 1.0, <0, -8.4, 0>, 3.2 texture { pigment { rgb <0.13, 0.07, 0.04> } finish { Gloss } } interior { ior 1.5 } }
  translate <-22.5, 8.4, 1.5>
}

#declare Blade = mesh {  // one folded quarter of a pinwheel
  triangle { <0, 0, 0>, <4.9, 0.4, -0.25>, <4.9, 3.2, -0.9> }
  triangle { <0, 0, 0>, <4.9, 3.2, -0.9>, <1.7, 2.1, -1.5> }
  triangle { <0, 0, 0>, <1.7, 2.1, -1.5>, <0, 0, -1.1> }
}
union {
  union {
    #declare K = 0;
    #while (K < 6)
      object { Blade
        texture {
          #if (mod(K, 2)) pigment { rgb <0.80, 0.12, 0.08> }
          #else pigment { radial color_map { [0.5 rgb <0.92, 0.88, 0.78>] [0.5 rgb <0.08, 0.30, 0.46>] } frequency 90 rotate 90*x } #end
          finish { ambient 0.12 diffuse 0.75 }
        }
        rotate 60*K*z
      }
      #declare K = K + 1;
    #end
    sphere { <0, 0, -1.2>, 0.45 texture { Brass } }
    rotate Pinwheel[N]*z
    rotate 14*y
    translate <0, 15.2, 0>
  }
  cylinder { <0, 3, 0.4>, <0, 15.3, 0.4>, 0.22 texture { pigment { rgb <0.80, 0.70, 0.52> } finish { Satin } } }
  translate <3.6, 0, 3>
}

union {  // the mug it stands in
  difference {
    cylinder { 0, 6.2*y, 3.0 }
    cylinder { 0.4*y, 6.5*y, 2.75 }
  }
  torus { 2.875, 0.125 translate 6.2*y }
  difference { torus { 1.7, 0.34 rotate 90*x translate <3.0, 3.2, 0> } cylinder { 0, 7*y, 2.9 } }
  texture { pigment { image_map { png "mug.png" map_type 2 interpolate 2 } scale <1, 6.2, 1> rotate -5*y } finish { Gloss } }
  interior { ior 1.5 }
  translate <3.6, 0, 3>
}

box { <0, 0, 0>, <1, 1, 1>  // the woven mat
  texture { pigment { image_map { png "mat.png" once interpolate 2 } rotate 90*x } normal { leopard 0.1 scale 0.02 } finish { Matt } }
  scale <27, 0.15, 12.5> rotate -3*y translate <-18.5, 0, -13>
}

box { <0, 0, 0>, <1, 1, 1>  // the ruler
  texture { pigment { image_map { png "ruler.png" once interpolate 2 } rotate 90*x } finish { Satin } }
  scale <31, 0.3, 3.3> rotate 4*y translate <-12.5, 0, -18.6>
}

// ---- the ball -------------------------------------------------------------------
sphere { 0, 2.6
  texture { pigment { image_map { png "ball.png" map_type 1 interpolate 2 } rotate <18, 35, 24> rotate -Roll[N]*z } finish { Gloss } }
  interior { ior 1.45 }
  translate Ball[N] + <0, 2.6, 0>
}
